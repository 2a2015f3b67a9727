import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { type Latencies, latencyAt, publishedLatencies, slowMetadata, slowObjects } from '../../lib/adapters/slow.ts'
import { producerIdsKey } from '../../lib/core/items.ts'

const flat = (ms: number) => [[1, ms]] as const
const latencies: Latencies = {
  put: flat(100),
  get: flat(30),
  objectBytesPerMs: 10,
  write: flat(8),
  transaction: flat(25),
  read: flat(6),
}

function slowed() {
  const slept: number[] = []
  const sleep = async (durationMs: number) => {
    slept.push(durationMs)
  }
  const options = { sleep, random: () => 0.5, latencies }
  const takeMs = () => slept.splice(0).reduce((sum, ms) => sum + ms, 0)
  return { slept, takeMs, options }
}

describe('slow stores', () => {
  test('a latency lies on the line between the two quantiles around it', () => {
    const quantiles = [
      [0, 10],
      [0.5, 20],
      [1, 120],
    ] as const
    assert.deepEqual(
      [0, 0.25, 0.5, 0.75, 1].map((share) => latencyAt(quantiles, share)),
      [10, 15, 20, 70, 120],
    )
  })

  test('the published ones never fall', () => {
    const { objectBytesPerMs: _, ...distributions } = publishedLatencies
    for (const quantiles of Object.values(distributions))
      for (const [index, [share, ms]] of quantiles.entries()) {
        const [shareBefore, msBefore] = quantiles[index - 1] ?? [-1, 0]
        assert.ok(share > shareBefore && ms > msBefore)
      }
  })

  test('half of a latency passes before the effect, and bytes take their time on the way', async () => {
    const { slept, takeMs, options } = slowed()
    const stored = new MemoryObjects()
    let sleptBefore: number[] = []
    const watched = {
      ...stored,
      create: (...request: Parameters<MemoryObjects['create']>) => {
        sleptBefore = [...slept]
        return stored.create(...request)
      },
      read: stored.read.bind(stored),
      list: stored.list.bind(stored),
      delete: stored.delete.bind(stored),
    }
    const objects = slowObjects(watched, options)
    assert.equal(await objects.create('segments/a/1', [new Uint8Array(200), new Uint8Array(100)]), 'created')
    assert.deepEqual(sleptBefore, [30 + 50])
    assert.equal(takeMs(), 30 + 100)
    assert.equal((await objects.read('segments/a/1', 0, 50))?.length, 50)
    assert.equal(takeMs(), 30 + 5)
    assert.equal(await objects.read('segments/a/2', 0, 50), undefined)
    assert.equal(takeMs(), 30)
  })

  test('writes of several items take as long as transactions do', async () => {
    const { takeMs, options } = slowed()
    const metadata = slowMetadata(new MemoryMetadata(), options)
    const put = { op: 'put', key: producerIdsKey, version: 'a', value: { next: 1 }, if: 'absent' } as const
    assert.ok((await metadata.write([put])).applied)
    assert.equal(takeMs(), 8)
    const other = { ...put, key: { collection: 'cluster', sort: 'other' } }
    assert.ok(!(await metadata.write([put, other])).applied)
    assert.equal(takeMs(), 25)
    assert.equal((await metadata.get(producerIdsKey))?.version, 'a')
    assert.equal(takeMs(), 6)
  })
})
