import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects, requestsOf } from '../../lib/adapters/metered.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { newHead } from '../../lib/core/head.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { append, newItemKeys, newKey, put } from '../conformance/metadata-fixture.ts'
import { objectsConformance } from '../conformance/objects.ts'

objectsConformance('metered', async () => ({ objects: meteredObjects(new MemoryObjects(), new Meter()) }))
metadataConformance('metered', async () => ({ metadata: meteredMetadata(new MemoryMetadata(), new Meter()) }))

describe('a meter', () => {
  test('counts requests and content bytes of objects', async () => {
    const meter = new Meter()
    const objects = meteredObjects(new MemoryObjects(), meter)
    await objects.create('segments/a/1', [new Uint8Array(700), new Uint8Array(300)])
    await objects.create('segments/a/1', [new Uint8Array(5_000)])
    await objects.read('segments/a/1', 900, 500)
    await objects.read('segments/a/2', 0, 500)
    await objects.list('segments/', undefined, 10)
    await objects.delete('segments/a/1')
    const reading = meter.read()
    assert.deepEqual(reading['objects.create'], { requests: 2, bytes: 1_000 })
    assert.deepEqual(reading['objects.read'], { requests: 2, bytes: 100 })
    assert.deepEqual(reading['objects.list'], { requests: 1, bytes: 0 })
    assert.deepEqual(reading['objects.delete'], { requests: 1, bytes: 0 })
  })

  test('counts requests of the metadata by what they cost, and the bytes of whole heads and items', async () => {
    const meter = new Meter()
    const metadata = meteredMetadata(new MemoryMetadata(), meter)
    const key = newKey()
    const [first, second] = newItemKeys(2)
    const headBytes = JSON.stringify(newHead(key)).length
    await metadata.createHead(newHead(key))
    await metadata.readHead(key)
    await metadata.updateHead(key, { kind: 'trim', start: 1 })
    await metadata.updateHead(key, append('a'), [put(first!, '1', 'four')])
    await metadata.write([put(second!, '1', [1, 2])])
    await metadata.write([put(first!, '1', 'other'), put(second!, '1', 'other')])
    await metadata.get(first!)
    await metadata.query(first!.collection, { limit: 10 })
    const afterAppend = JSON.stringify(await metadata.readHead(key)).length
    const reading = meter.read()
    assert.deepEqual(requestsOf(reading), {
      'metadata.createHead': 1,
      'metadata.readHead': 2,
      'metadata.updateHead': 1,
      'metadata.updateHeadWithItems': 1,
      'metadata.get': 1,
      'metadata.query': 1,
      'metadata.write': 1,
      'metadata.writeTransaction': 1,
    })
    assert.equal(reading['metadata.createHead'].bytes, headBytes)
    assert.equal(reading['metadata.updateHead'].bytes, headBytes)
    assert.equal(reading['metadata.updateHeadWithItems'].bytes, afterAppend + 6)
    assert.equal(reading['metadata.writeTransaction'].bytes, 6 + 5)
    assert.equal(reading['metadata.query'].bytes, 6 + 5)
  })

  test('counts a request that fails', async () => {
    const meter = new Meter()
    const metadata = meteredMetadata(new MemoryMetadata(), meter)
    const broken = meteredMetadata(
      {
        ...metadata,
        get: async () => {
          throw new Unavailable('down', 'none')
        },
      },
      meter,
    )
    await assert.rejects(broken.get(newItemKeys(1)[0]!), Unavailable)
    assert.deepEqual(requestsOf(meter.read()), { 'metadata.get': 1 })
  })

  test('begins anew when it is taken', async () => {
    const meter = new Meter()
    const objects = meteredObjects(new MemoryObjects(), meter)
    await objects.read('segments/a/1', 0, 1)
    assert.deepEqual(requestsOf(meter.take()), { 'objects.read': 1 })
    assert.deepEqual(requestsOf(meter.read()), {})
  })
})
