import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryObjects } from '../../lib/adapters/memory.ts'
import { requireKeys } from '../../lib/http/key-guard.ts'
import { createHarness, type Harness } from './harness.ts'

async function stored(options: Parameters<typeof createHarness>[0] = {}): Promise<Harness> {
  const harness = createHarness(options)
  const configs = { 'chunk.placement': 'segment' }
  assert.ok((await harness.log.createTopic({ name: 't', partitions: 2, configs })).ok)
  for (const value of ['a', 'b', 'c']) await harness.appendValues(value)
  return harness
}

async function answered(harness: Harness, path: string): Promise<Record<string, unknown>> {
  const response = await harness.send('GET', path)
  assert.equal(response.status, 200, path)
  assert.equal(response.headers.get('cache-control'), 'no-store')
  return (await response.json()) as Record<string, unknown>
}

describe('/verify', () => {
  it('names the topics, and what is left for the sweep', async () => {
    const harness = await stored()
    const { topics, findings, next } = await answered(harness, '/verify/topics')
    const [topic] = topics as { topic_id: string }[]
    assert.deepEqual(topics, [{ topic: 't', topic_id: topic?.topic_id, partitions: 2 }])
    assert.deepEqual([findings, next], [[], undefined])
    assert.deepEqual((await answered(harness, '/verify/topics?after=t')).topics, [])
    assert.deepEqual(await answered(harness, '/verify/leftovers'), { findings: [], unnamed: 0, is_whole: true })
  })

  it('goes over a partition in pieces, each with the cursor of the one before', async () => {
    const harness = await stored()
    const path = '/verify/topics/t/partitions/0?deep=true'
    const { counts, ...whole } = await answered(harness, path)
    const { topic_id, ...rest } = whole
    assert.deepEqual(rest, {
      topic: 't',
      partition: 0,
      start_offset: 0,
      high_watermark: 3,
      from_offset: 0,
      findings: [],
    })
    assert.equal(typeof topic_id, 'string')
    assert.equal((counts as { records: number }).records, 3)
    const piece = await answered(
      harness,
      '/verify/topics/t/partitions/0?cursor=p.AAAAAAAAAAAAAAAAAAAAAA.'.replace(
        'AAAAAAAAAAAAAAAAAAAAAA',
        String(topic_id),
      ),
    )
    assert.deepEqual((piece.counts as { records: number }).records, 0)
  })

  it('answers damage, which is no error', async () => {
    const objects = new MemoryObjects()
    const harness = await stored({ ports: { objects } })
    const [gone] = await objects.list('segments/', undefined, 1)
    await objects.delete(gone?.key ?? '')
    const { findings } = await answered(harness, '/verify/topics/t/partitions/0')
    const [finding] = findings as { offset: number }[]
    assert.deepEqual(findings, [
      {
        severity: 'damage',
        code: 'CHUNK_MISSING',
        topic: 't',
        partition: 0,
        offset: finding?.offset,
        key: gone?.key,
        message: 'The object is gone.',
      },
    ])
  })

  it('refuses what is unknown', async () => {
    const harness = await stored()
    const statusOf = async (path: string) => (await harness.send('GET', path)).status
    assert.equal(await statusOf('/verify/topics/none/partitions/0'), 404)
    assert.equal(await statusOf('/verify/topics/t/partitions/2'), 404)
    assert.equal(await statusOf('/verify/topics/t/partitions/x'), 404)
    assert.equal(await statusOf('/verify/topics/t/partitions/0?cursor=x'), 400)
    assert.equal(await statusOf('/verify/topics/t/partitions/0?max_bytes=0'), 400)
  })

  it('is for who may administer', async () => {
    let harness: Harness | undefined
    harness = createHarness({ app: { guard: (request, need) => requireKeys(harness!.log)(request, need) } })
    assert.ok((await harness.log.createTopic({ name: 't', partitions: 1 })).ok)
    for (const [work, refused] of [
      ['fetch', 'AUTHORIZATION_FAILED'],
      ['admin', null],
    ] as const) {
      const created = await harness.log.createApiKey({ name: 'test', allow: [work] })
      assert.ok(created.ok)
      const headers = { authorization: `Bearer ${created.token}` }
      const response = await harness.send('GET', '/verify/topics/t/partitions/0', { headers })
      assert.equal(response.headers.get('highwater-error'), refused, work)
    }
  })
})
