import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeHead, encodeItem } from '../../lib/adapters/aws/dynamodb-attributes.ts'
import { attributesBytes } from '../../lib/adapters/aws/dynamodb-size.ts'
import { MemoryMetadata, MemoryObjects } from '../../lib/adapters/memory.ts'
import { Meter, meteredMetadata, meteredObjects, requestsOf } from '../../lib/adapters/metered.ts'
import { usageOf } from '../../lib/core/cost.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { newHead } from '../../lib/core/head.ts'
import type { ItemKey } from '../../lib/core/items.ts'
import type { ItemWrite } from '../../lib/ports.ts'
import { metadataConformance } from '../conformance/metadata.ts'
import { append, newItemKeys, newKey, put } from '../conformance/metadata-fixture.ts'
import { objectsConformance } from '../conformance/objects.ts'

objectsConformance('metered', async () => ({ objects: meteredObjects(new MemoryObjects(), new Meter()) }))
metadataConformance('metered', async () => ({ metadata: meteredMetadata(new MemoryMetadata(), new Meter()) }))

/** Metadata, and the units since they were asked for last. */
function metered() {
  const meter = new Meter()
  const units = () => {
    const { dynamoDbWrite: write, dynamoDbRead: read } = usageOf(meter.take())
    return { write, read }
  }
  return { metadata: meteredMetadata(new MemoryMetadata(), meter), units }
}

function replace(key: ItemKey, version: string, value: string, seen: string): ItemWrite {
  return { ...put(key, version, value), if: { version: seen } }
}

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
    const none = { writeUnits: 0, readUnits: 0 }
    assert.deepEqual(reading['objects.create'], { requests: 2, bytes: 1_000, ...none })
    assert.deepEqual(reading['objects.read'], { requests: 2, bytes: 100, ...none })
    assert.deepEqual(reading['objects.list'], { requests: 1, bytes: 0, ...none })
    assert.deepEqual(reading['objects.delete'], { requests: 1, bytes: 0, ...none })
  })

  test('counts requests of the metadata by what they cost, and the bytes of whole heads and items', async () => {
    const meter = new Meter()
    const metadata = meteredMetadata(new MemoryMetadata(), meter)
    const key = newKey()
    const [first, second] = newItemKeys(2)
    const headBytes = attributesBytes(encodeHead(newHead(key)))
    await metadata.createHead(newHead(key))
    await metadata.readHead(key)
    await metadata.updateHead(key, { kind: 'trim', start: 1 })
    await metadata.updateHead(key, append('a'), [put(first!, '1', 'four')])
    await metadata.write([put(second!, '1', [1, 2])])
    await metadata.write([put(first!, '1', 'other'), put(second!, '1', 'other')])
    await metadata.get(first!)
    await metadata.query(first!.collection, { limit: 10 })
    const afterAppend = attributesBytes(encodeHead((await metadata.readHead(key))!))
    const itemBytes = (await Promise.all([first!, second!].map((item) => metadata.get(item)))).map((item) =>
      attributesBytes(encodeItem({ ...item!, op: 'put', if: 'absent' })),
    ) as [number, number]
    const reading = meter.read()
    assert.deepEqual(requestsOf(reading), {
      'metadata.createHead': 1,
      'metadata.readHead': 2,
      'metadata.updateHead': 1,
      'metadata.updateHeadWithItems': 1,
      'metadata.get': 3,
      'metadata.query': 1,
      'metadata.write': 1,
      'metadata.writeTransaction': 1,
    })
    assert.equal(reading['metadata.createHead'].bytes, headBytes)
    assert.equal(reading['metadata.updateHead'].bytes, headBytes)
    assert.equal(reading['metadata.updateHeadWithItems'].bytes, afterAppend + itemBytes[0])
    assert.equal(reading['metadata.writeTransaction'].bytes, itemBytes[0] + itemBytes[1])
    assert.equal(reading['metadata.query'].bytes, itemBytes[0] + itemBytes[1])
  })

  test('rounds up each request by itself: five of a few bytes are five units, one of 5 KB is six with its name', async () => {
    const { metadata, units } = metered()
    const keys = newItemKeys(6)
    for (const key of keys.slice(1)) await metadata.write([put(key, '1', 'few')])
    assert.deepEqual(units(), { write: 5, read: 0 })
    await metadata.write([put(keys[0]!, '1', 'x'.repeat(5_120))])
    assert.deepEqual(units(), { write: 6, read: 0 })
    for (const key of keys.slice(1)) await metadata.get(key)
    await metadata.get(keys[0]!)
    assert.deepEqual(units(), { write: 0, read: 5 + 2 })
    await metadata.query(keys[0]!.collection, { limit: 10 })
    assert.deepEqual(units(), { write: 0, read: 2 }, 'a query is rounded up once')
  })

  test('a unit holds 1,024 bytes of the whole item, not one more', async () => {
    const { metadata, units } = metered()
    const [at, above] = newItemKeys(2)
    const empty = attributesBytes(encodeItem({ ...put(at!, '1', ''), op: 'put' } as ItemWrite & { op: 'put' }))
    await metadata.write([put(at!, '1', 'x'.repeat(1_024 - empty))])
    assert.deepEqual(units(), { write: 1, read: 0 })
    await metadata.write([put(above!, '1', 'x'.repeat(1_025 - empty))])
    assert.deepEqual(units(), { write: 2, read: 0 })
  })

  test('bills a deletion by what was there, a replacement by the larger, a refusal as if it had been done', async () => {
    const { metadata, units } = metered()
    const [key] = newItemKeys(1)
    await metadata.write([put(key!, '1', 'x'.repeat(3_100))])
    assert.deepEqual(units(), { write: 4, read: 0 })
    await metadata.write([replace(key!, '2', 'x', '1')])
    assert.deepEqual(units(), { write: 4, read: 0 })
    await metadata.write([replace(key!, '3', 'x'.repeat(2_100), 'other')])
    assert.deepEqual(units(), { write: 3, read: 0 })
    await metadata.write([replace(key!, '3', 'x'.repeat(2_100), '2')])
    await metadata.write([{ op: 'delete', key: key!, if: { version: 'other' } }])
    assert.deepEqual(units(), { write: 6, read: 0 })
    await metadata.write([{ op: 'delete', key: key!, if: { version: '3' } }])
    assert.deepEqual(units(), { write: 3, read: 0 })
    await metadata.write([{ op: 'delete', key: key!, if: { version: '3' } }])
    assert.deepEqual(units(), { write: 1, read: 0 }, 'of what is not there')
  })

  test('doubles what is in a transaction, each item for itself', async () => {
    const { metadata, units } = metered()
    const [first, second] = newItemKeys(2)
    await metadata.write([put(first!, '1', 'x'), put(second!, '1', 'x'.repeat(1_100))])
    assert.deepEqual(units(), { write: 2 + 4, read: 0 })
    const key = newKey()
    await metadata.createHead(newHead(key))
    await metadata.updateHead(key, append('a'))
    assert.deepEqual(units(), { write: 1 + 1, read: 0 })
    await metadata.updateHead(key, append('b'), [{ op: 'check', key: second!, if: { version: '1' } }])
    assert.deepEqual(units(), { write: 2 + 4, read: 0 })
    await metadata.write([{ op: 'check', key: second!, if: { version: '1' } }])
    assert.deepEqual(units(), { write: 0, read: 1 }, 'alone, a check is a read')
  })

  test('bills an update of a head by the larger of before and after', async () => {
    const { metadata, units } = metered()
    const key = newKey()
    await metadata.createHead(newHead(key))
    for (let index = 0; index < 40; index++) await metadata.updateHead(key, append(`a long reference, number ${index}`))
    const head = (await metadata.readHead(key))!
    const before = attributesBytes(encodeHead(head))
    assert.ok(before > 1_024 && before < 2_048, `${before} bytes`)
    units()
    await metadata.updateHead(key, { kind: 'roll', generation: head.rolls, refs: Object.keys(head.tail) as never[] })
    assert.ok(attributesBytes(encodeHead((await metadata.readHead(key))!)) < 1_024)
    assert.deepEqual(units(), { write: 2, read: 1 })
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
