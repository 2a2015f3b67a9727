import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { describe, test } from 'node:test'
import { DataDirectoryInUse, openDataDirectory } from '../../lib/adapters/local/data-directory.ts'
import { newHead } from '../../lib/core/head.ts'
import { append, newKey } from '../conformance/metadata-fixture.ts'

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'highwater-data-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

const bytes = (text: string) => new TextEncoder().encode(text)

describe('data directory', () => {
  test('is made where it is missing, with its parents, and keeps objects and metadata over a close', async (t) => {
    const path = join(await temporary(t), 'deeper', 'data')
    const key = newKey()
    const first = await openDataDirectory(path)
    await first.objects.create('segments/a/1', [bytes('kept')])
    await first.metadata.createHead(newHead(key))
    await first.close()
    await first.close()
    const second = await openDataDirectory(path)
    t.after(() => second.close())
    assert.deepEqual(await second.objects.read('segments/a/1', 0, 10), bytes('kept'))
    assert.deepEqual(await second.metadata.readHead(key), newHead(key))
    assert.deepEqual(JSON.parse(await readFile(join(path, 'highwater.json'), 'utf8')), { format: 1 })
  })

  test('is refused to a second opening, and free after the close', async (t) => {
    const path = await temporary(t)
    const first = await openDataDirectory(path)
    await assert.rejects(openDataDirectory(path), (error) => {
      assert.ok(error instanceof DataDirectoryInUse)
      assert.equal(error.directory, path)
      assert.match(error.message, new RegExp(`^The data directory ${path} is in use by another process`))
      return true
    })
    await first.close()
    await (await openDataDirectory(path)).close()
  })

  test('is refused while another process has it, and free when that was killed, with all that was answered', async (t) => {
    const path = await temporary(t)
    const key = newKey()
    const other = spawn(process.execPath, ['--input-type=module', '-e', otherProcess(path, key.topicId)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => other.kill('SIGKILL'))
    const exit = once(other, 'exit')
    await Promise.race([once(other.stdout, 'data'), exit.then(() => assert.fail('the other process ended'))])
    await assert.rejects(openDataDirectory(path), DataDirectoryInUse)
    other.kill('SIGKILL')
    await exit
    const directory = await openDataDirectory(path)
    t.after(() => directory.close())
    assert.deepEqual(await directory.metadata.readHead(key), { ...newHead(key), hw: 1, tail: { a: 0 } })
    assert.deepEqual(await directory.objects.read('segments/a/1', 0, 10), bytes('kept'))
    assert.equal((await directory.metadata.updateHead(key, append('b'))).applied, true)
  })

  test('of a newer format is refused with both numbers, and left as it is', async (t) => {
    const path = await temporary(t)
    await (await openDataDirectory(path)).close()
    const newer = '{"format": 2, "more": true}'
    await writeFile(join(path, 'highwater.json'), newer)
    await assert.rejects(openDataDirectory(path), /has data format 2; this Highwater knows formats up to 1\.$/)
    assert.equal(await readFile(join(path, 'highwater.json'), 'utf8'), newer)
    // The refusal let go of the directory.
    await writeFile(join(path, 'highwater.json'), '{"format":1}')
    await (await openDataDirectory(path)).close()
  })

  test('with a damaged highwater.json is refused', async (t) => {
    const path = await temporary(t)
    for (const text of ['', 'x', '{}', 'null', '{"format":"1"}', '{"format":0}', '{"format":1.5}']) {
      await writeFile(join(path, 'highwater.json'), text)
      await assert.rejects(openDataDirectory(path), /highwater\.json is damaged/, text)
    }
  })
})

/** A program that opens the directory, writes an object and a head, says so, and waits to be killed. */
function otherProcess(path: string, topicId: string): string {
  const lib = (file: string) => JSON.stringify(new URL(`../../lib/${file}`, import.meta.url).href)
  return `
    import { openDataDirectory } from ${lib('adapters/local/data-directory.ts')}
    import { newHead } from ${lib('core/head.ts')}
    const { objects, metadata } = await openDataDirectory(${JSON.stringify(path)})
    const key = { topicId: ${JSON.stringify(topicId)}, partition: 0 }
    await objects.create('segments/a/1', [new TextEncoder().encode('kept')])
    await metadata.createHead(newHead(key))
    await metadata.updateHead(key, { kind: 'append', chunks: [{ ref: 'a', count: 1 }], seen: 0 })
    console.log('written')
    setInterval(() => {}, 1_000)
  `
}
