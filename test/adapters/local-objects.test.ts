import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { systemDisk, writeAll } from '../../lib/adapters/local/disk.ts'
import type { LocalObjects } from '../../lib/adapters/local/objects.ts'
import { openLocalObjects } from '../../lib/adapters/local/objects.ts'
import { openFilesMax } from '../../lib/adapters/local/open-files.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { segmentPrefixes } from '../../lib/core/names.ts'
import { objectsConformance } from '../conformance/objects.ts'
import type { SimulatedDiskOptions } from '../sim/disk.ts'
import { PowerFailure, SimulatedDisk } from '../sim/disk.ts'
import { seededRandom } from '../sim/random.ts'

objectsConformance('local files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-objects-'))
  const objects = await openLocalObjects(systemDisk, join(directory, 'objects'), segmentPrefixes)
  return {
    objects,
    async close() {
      await objects.close()
      await rm(directory, { recursive: true })
    },
  }
})

objectsConformance('local files on a simulated disk', async () => {
  const disk = new SimulatedDisk({ random: seededRandom(1) })
  const objects = await openLocalObjects(disk, '/objects', segmentPrefixes)
  return {
    objects,
    async close() {
      await objects.close()
      assert.equal(disk.openCount, 0)
    },
  }
})

const bytes = (text: string) => new TextEncoder().encode(text)
const prefixes = ['segments/0/', 'segments/1/']

/** Objects on a disk of their own. */
async function simulated(seed = 1): Promise<{ disk: SimulatedDisk; objects: LocalObjects }> {
  const disk = new SimulatedDisk({ random: seededRandom(seed) })
  return { disk, objects: await openLocalObjects(disk, '/objects', prefixes) }
}

describe('local objects: power failures', () => {
  test('an object whose creation was answered is there, whole, after a power failure, and no other is there in part', async () => {
    for (let seed = 1; seed <= 400; seed++) {
      const violations = await liveThroughPowerFailures(seed)
      assert.deepEqual(violations, [], `seed ${seed}`)
    }
  })

  for (const drops of ['syncFile', 'syncDirectory'] as const)
    test(`without ${drops} that does not hold: the test would notice`, async () => {
      let violated = 0
      for (let seed = 1; seed <= 50; seed++) if ((await liveThroughPowerFailures(seed, drops)).length > 0) violated++
      assert.ok(violated > 10, `${violated} of 50 seeds`)
    })
})

/** Three lives of a process, each ended by a power failure at some call. Answers what was found to be wrong. */
async function liveThroughPowerFailures(seed: number, drops?: SimulatedDiskOptions['drops']): Promise<string[]> {
  const random = seededRandom(seed)
  const disk = new SimulatedDisk({ random, ...(drops && { drops }) })
  const keys = Array.from({ length: 12 }, (_, index) => `segments/${index % 2}/key${index}`)
  const contentOf = (key: string) => bytes(`${key} `.repeat(1 + (key.length % 7)))
  const answered = new Set<string>()
  const violations: string[] = []
  for (let life = 0; life < 3; life++) {
    disk.failPowerAfter(Math.floor(random() * 150))
    try {
      const objects = await openLocalObjects(disk, '/objects', prefixes)
      // Some keys twice: 'exists' promises as much as 'created'.
      const creations = Array.from({ length: 16 }, async () => {
        const key = keys[Math.floor(random() * keys.length)] ?? ''
        await objects.create(key, [contentOf(key).slice(0, 5), contentOf(key).slice(5)])
        answered.add(key)
      })
      for (const outcome of await Promise.allSettled(creations))
        if (outcome.status === 'rejected' && !(outcome.reason instanceof PowerFailure)) throw outcome.reason
    } catch (error) {
      if (!(error instanceof PowerFailure)) throw error
    }
    disk.restart()

    const objects = await openLocalObjects(disk, '/objects', prefixes)
    const listed = new Map((await objects.list('', undefined, 100)).map((entry) => [entry.key, entry.sizeBytes]))
    for (const key of keys) {
      const content = await objects.read(key, 0, 1_000)
      const isWhole = content !== undefined && Buffer.compare(content, contentOf(key)) === 0
      if (content !== undefined && !isWhole) violations.push(`${key} is there in part`)
      if (answered.has(key) && !isWhole) violations.push(`${key} was answered`)
      if (listed.get(key) !== content?.length) violations.push(`${key} is listed with ${listed.get(key)} bytes`)
    }
    if ((await disk.list('/objects/unfinished')).length > 0) violations.push('leftovers')
    await objects.close()
  }
  return violations
}

describe('local objects: failing disks', () => {
  test('a full disk refuses a creation without effect, and takes it once there is room', async () => {
    const { disk, objects } = await simulated()
    const key = 'segments/0/a'
    disk.capacityBytes = 3
    await assert.rejects(objects.create(key, [bytes('more than three')]), unavailable('none', 'full'))
    assert.equal(await objects.read(key, 0, 100), undefined)
    assert.deepEqual(await disk.list('/objects/unfinished'), [])
    disk.capacityBytes = 1_000
    assert.equal(await objects.create(key, [bytes('more than three')]), 'created')
    assert.deepEqual(await objects.read(key, 0, 100), bytes('more than three'))
    await objects.close()
    assert.equal(disk.openCount, 0)
  })

  const failures = [
    ['createFile', 'ENOSPC', 'none', 'full'],
    ['createFile', 'EDQUOT', 'none', 'full'],
    ['createFile', 'EMFILE', 'none', 'failed'],
    ['writeFile', 'EDQUOT', 'none', 'full'],
    ['writeFile', 'EIO', 'none', 'failed'],
    ['syncFile', 'ENOSPC', 'none', 'full'],
    ['syncFile', 'EIO', 'none', 'failed'],
    ['link', 'ENOSPC', 'none', 'full'],
    ['link', 'EIO', 'possible', 'failed'],
  ] as const
  for (const [call, code, effects, why] of failures)
    test(`${code} of ${call} makes a creation unavailable (effects: ${effects}, ${why}), and the next one is not harmed`, async () => {
      const { disk, objects } = await simulated()
      failOnce(disk, call, code)
      await assert.rejects(objects.create('segments/0/a', [bytes('a')]), unavailable(effects, why))
      assert.equal(await objects.read('segments/0/a', 0, 10), undefined)
      assert.equal(await objects.create('segments/0/a', [bytes('a')]), 'created')
      disk.restart()
      const again = await openLocalObjects(disk, '/objects', prefixes)
      assert.deepEqual(await again.read('segments/0/a', 0, 10), bytes('a'))
    })

  test('a failed sync of a file is not called again, and its bytes are never given the key', async () => {
    const { disk, objects } = await simulated()
    failOnce(disk, 'syncFile', 'EIO')
    await assert.rejects(objects.create('segments/0/a', [bytes('a')]), Unavailable)
    assert.equal(disk.calls.get('syncFile'), 1)
    assert.equal(disk.calls.get('link'), undefined)
  })

  test('after a failed sync of a directory nothing is created there, elsewhere it is, and after an open again here too', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const { disk, objects } = await simulated(seed)
      failOnce(disk, 'syncDirectory', 'EIO')
      const creations = ['a', 'b', 'c'].map((name) => objects.create(`segments/0/${name}`, [bytes(name)]))
      for (const creation of creations) await assert.rejects(creation, unavailable('possible', 'failed'))
      // Neither by another creation, nor as 'exists'.
      await assert.rejects(objects.create('segments/0/d', [bytes('d')]), unavailable('possible', 'failed'))
      await assert.rejects(objects.create('segments/0/a', [bytes('a')]), unavailable('possible', 'failed'))
      assert.equal(await objects.create('segments/1/a', [bytes('a')]), 'created')
      disk.restart()
      const again = await openLocalObjects(disk, '/objects', prefixes)
      const outcome = await again.create('segments/0/a', [bytes('a')])
      disk.restart()
      const afterwards = await openLocalObjects(disk, '/objects', prefixes)
      assert.deepEqual(await afterwards.read('segments/0/a', 0, 10), bytes('a'), outcome)
    }
  })

  test('reads, listings and deletions that fail say so', async () => {
    const { disk, objects } = await simulated()
    await objects.create('segments/0/a', [bytes('a')])
    failOnce(disk, 'openFile', 'EMFILE')
    await assert.rejects(objects.read('segments/0/a', 0, 10), unavailable('none', 'failed'))
    failOnce(disk, 'readFile', 'EIO')
    await assert.rejects(objects.read('segments/0/a', 0, 10), unavailable('none', 'failed'))
    failOnce(disk, 'list', 'EIO')
    await assert.rejects(objects.list('', undefined, 10), unavailable('none', 'failed'))
    failOnce(disk, 'unlink', 'EIO')
    await assert.rejects(objects.delete('segments/0/a'), unavailable('possible', 'failed'))
    assert.deepEqual(await objects.read('segments/0/a', 0, 10), bytes('a'))
  })

  test('a closed store is unavailable, after what was under way is done', async () => {
    const { disk, objects } = await simulated()
    const creating = objects.create('segments/0/a', [bytes('a')])
    await objects.close()
    assert.equal(await creating, 'created')
    assert.equal(disk.openCount, 0)
    await assert.rejects(objects.create('segments/0/b', [bytes('b')]), unavailable('none', 'closed'))
    await assert.rejects(objects.read('segments/0/a', 0, 1), unavailable('none', 'closed'))
  })
})

describe('local objects: files', () => {
  test('creations at once share the syncs of their directory', async () => {
    const { disk, objects } = await simulated()
    const before = disk.calls.get('syncDirectory') ?? 0
    await Promise.all(Array.from({ length: 100 }, (_, index) => objects.create(`segments/0/${index}`, [bytes('x')])))
    const syncs = (disk.calls.get('syncDirectory') ?? 0) - before
    assert.ok(syncs <= 20, `${syncs} syncs`)
  })

  test('at most 64 files are kept open for reading, and a deleted one is not', async () => {
    const { disk, objects } = await simulated()
    const keys = Array.from({ length: openFilesMax + 10 }, (_, index) => `segments/0/${index}`)
    for (const key of keys) await objects.create(key, [bytes(key)])
    const directories = disk.openCount
    for (const key of keys) assert.deepEqual(await objects.read(key, 0, 100), bytes(key))
    await settled()
    assert.equal(disk.openCount - directories, openFilesMax)
    await objects.read(keys.at(-1)!, 0, 100)
    assert.equal(disk.calls.get('openFile'), keys.length)
    await objects.delete(keys.at(-1)!)
    await settled()
    assert.equal(disk.openCount - directories, openFilesMax - 1)
    await Promise.all(keys.map((key) => objects.read(key, 0, 100)))
    await objects.close()
    await settled()
    assert.equal(disk.openCount, 0)
  })

  test('a key that is not of the shape of segment keys is a bug, and reaches no file', async () => {
    const { disk, objects } = await simulated()
    const calls = JSON.stringify([...disk.calls])
    const keys = [
      '',
      'a',
      '/etc/passwd',
      '../a',
      'segments/../a',
      'segments/0/..',
      'segments/0/../../../a',
      'segments/0/.a',
      'segments/0/',
      'segments/0//a',
      'segments//a',
      'segments/2/a',
      'segments/0/a/b',
      'segments/0/A',
      'segments/0/a\u0000',
      'segments/0/a\n',
      `segments/0/${'a'.repeat(201)}`,
      'unfinished/0',
    ]
    for (const key of keys) {
      await assert.rejects(objects.create(key, [bytes('x')]), /no key of a local object/, key)
      await assert.rejects(objects.read(key, 0, 1), /no key of a local object/, key)
      await assert.rejects(objects.delete(key), /no key of a local object/, key)
    }
    assert.equal(JSON.stringify([...disk.calls]), calls)
    await assert.rejects(openLocalObjects(disk, '/objects', ['../']), /no prefix/)
    await assert.rejects(openLocalObjects(disk, '/objects', ['a/', 'a/b/']), /holds another/)
  })

  test('what the system takes only in part is written on from there', async () => {
    const parts = ['', 'ab', 'c', '', 'defgh', 'i'].map(bytes)
    for (let atOnce = 1; atOnce <= 10; atOnce++) {
      let written = ''
      await writeAll(parts, async (rest) => {
        const taken = Buffer.concat(rest).subarray(0, atOnce)
        written += taken.toString()
        return taken.length
      })
      assert.equal(written, 'abcdefghi')
    }
    await assert.rejects(
      writeAll(parts, async () => 0),
      /took none/,
    )
    await writeAll([], () => assert.fail('nothing to write'))
  })
})

function unavailable(effects: string, why: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Unavailable, String(error))
    assert.deepEqual([error.effects, error.why], [effects, why])
    return true
  }
}

function failOnce(disk: SimulatedDisk, failing: string, code: string): void {
  disk.fault = (call) => {
    if (call !== failing) return undefined
    disk.fault = undefined
    return code
  }
}

/** Until closings that nobody waits for are done: the simulated disk needs a few turns for each call. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
