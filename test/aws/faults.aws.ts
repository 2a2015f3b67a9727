/** Answers that get lost, come twice, or say that nothing was done: one append never becomes two (D4). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readAttemptsMax } from '../../lib/adapters/aws/aws-client.ts'
import { attemptsMax } from '../../lib/adapters/aws/aws-errors.ts'
import type { DynamoDbMetadata } from '../../lib/adapters/aws/dynamodb-metadata.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { decideHead, newHead } from '../../lib/core/head.ts'
import { segmentIdAt, segmentObjectKey } from '../../lib/core/names.ts'
import { append, created, newItemKeys, newKey, put } from '../conformance/metadata-fixture.ts'
import type { Fate } from './network.ts'
import { FaultyNetwork, s3Error } from './network.ts'
import { fastEngines, networkOf, newBucket, newTable, serviceOf, shared } from './stores.ts'

for (const engine of fastEngines.dynamodb)
  describe(`DynamoDB on ${engine.name}: lost and repeated answers`, () => {
    const table = shared(() => newTable(engine))

    /** `metadata` is behind the network; `calm` sees what is there. */
    const specify = (
      sentence: string,
      body: (world: { metadata: DynamoDbMetadata; calm: DynamoDbMetadata; network: FaultyNetwork }) => Promise<void>,
    ) =>
      test(sentence, async () => {
        const store = await table()
        const network = new FaultyNetwork(networkOf(engine))
        await body({ metadata: store.open({ requestHandler: network }), calm: store.open(), network })
        network.destroy()
      })

    for (const fate of ['unanswered', 'timeout'] as const)
      specify(
        `an append whose answer is lost (${fate}) is sent once, may have had an effect, and its repeat is refused by its reference`,
        async ({ metadata, calm, network }) => {
          const key = await created(calm)
          network.fate = () => fate
          const why = fate === 'timeout' ? 'timeout' : 'failed'
          await assert.rejects(metadata.updateHead(key, append('a', 3)), unavailable('possible', why))
          assert.deepEqual(network.sent, ['UpdateItem'])
          network.fate = () => 'answered'
          const expected = { ...newHead(key), hw: 3, tail: { a: 0 } }
          const repeat = await metadata.updateHead(key, append('a', 3))
          assert.deepEqual(repeat, { applied: false, head: expected, items: [] })
          const decision = decideHead(repeat.head, append('a', 3))
          assert.ok(!decision.ok && decision.refusal.reason === 'already-committed')
        },
      )

    specify(
      'an append that the network delivers twice commits once, and the second answer tells its reference',
      async ({ metadata, calm, network }) => {
        const key = await created(calm)
        network.fate = () => 'twice'
        const expected = { ...newHead(key), hw: 3, tail: { a: 0 } }
        assert.deepEqual(await metadata.updateHead(key, append('a', 3)), { applied: false, head: expected, items: [] })
        assert.deepEqual(await calm.readHead(key), expected)
      },
    )

    specify(
      'a repeat that arrives after the reference was rolled away is refused by its generation',
      async ({ metadata, calm, network }) => {
        const key = await created(calm)
        network.fate = () => 'late-repeat'
        await assert.rejects(metadata.updateHead(key, append('a', 3)), unavailable('possible', 'failed'))
        const refs = Object.keys((await calm.readHead(key))?.tail ?? {}) as never[]
        assert.equal((await calm.updateHead(key, { kind: 'roll', generation: 0, refs: [] })).applied, true)
        assert.equal((await calm.updateHead(key, { kind: 'roll', generation: 1, refs })).applied, true)
        const before = await calm.readHead(key)
        assert.deepEqual([before?.hw, before?.tail, before?.rolls], [3, {}, 2])
        await network.late()
        assert.deepEqual(await calm.readHead(key), before)
      },
    )

    specify(
      'an append that never arrives is sent once and may have had an effect',
      async ({ metadata, calm, network }) => {
        const key = await created(calm)
        network.fate = () => 'lost'
        await assert.rejects(metadata.updateHead(key, append('a')), unavailable('possible', 'failed'))
        assert.deepEqual(network.sent, ['UpdateItem'])
        assert.deepEqual(await calm.readHead(key), newHead(key))
      },
    )

    for (const [status, error] of [
      [500, 'InternalServerError'],
      [503, 'ServiceUnavailable'],
    ] as const)
      specify(
        `a write answered with ${status} is sent once and may have had an effect`,
        async ({ metadata, calm, network }) => {
          const key = await created(calm)
          const [item] = newItemKeys(1)
          network.fate = () => ({ status, error })
          const writes = [put(item!, '1', 1)]
          await assert.rejects(metadata.updateHead(key, append('a')), unavailable('possible', 'failed'))
          await assert.rejects(metadata.updateHead(key, append('a'), writes), unavailable('possible', 'failed'))
          await assert.rejects(metadata.write(writes), unavailable('possible', 'failed'))
          await assert.rejects(metadata.createHead(newHead(newKey())), unavailable('possible', 'failed'))
          assert.deepEqual(network.sent, ['UpdateItem', 'TransactWriteItems', 'PutItem', 'PutItem'])
        },
      )

    specify(
      'a transaction whose answer is lost may have had an effect, and applies once',
      async ({ metadata, calm, network }) => {
        const key = await created(calm)
        const [item] = newItemKeys(1)
        const writes = [put(item!, 'mine', 1)]
        network.fate = () => 'unanswered'
        await assert.rejects(metadata.updateHead(key, append('a', 2), writes), unavailable('possible', 'failed'))
        network.fate = () => 'answered'
        const expected = { ...newHead(key), hw: 2, tail: { a: 0 } }
        assert.deepEqual(await metadata.updateHead(key, append('a', 2), writes), {
          applied: false,
          head: expected,
          items: [{ key: item, version: 'mine', value: 1 }],
        })
      },
    )

    for (const error of [
      'ThrottlingException',
      'ProvisionedThroughputExceededException',
      'RequestLimitExceeded',
      'TransactionConflictException',
    ])
      specify(`${error} repeats the same attempt, and gives up without effect`, async ({ metadata, calm, network }) => {
        const key = await created(calm)
        network.fate = () => (network.sent.length <= 2 ? { status: 400, error } : 'answered')
        assert.equal((await metadata.updateHead(key, append('a'))).applied, true)
        assert.equal(network.sent.length, 3)
        assert.equal((await calm.readHead(key))?.hw, 1)
        network.fate = () => ({ status: 400, error })
        await assert.rejects(metadata.updateHead(key, append('b')), unavailable('none', 'throttled'))
        assert.equal(network.sent.length, 3 + attemptsMax)
      })

    specify(
      'a transaction cancelled by a conflict is repeated; one refused beside a conflict is refused',
      async ({ metadata, calm, network }) => {
        const key = await created(calm)
        const [item] = newItemKeys(1)
        const writes = [put(item!, 'mine', 1)]
        const cancelled = (...codes: string[]): Fate => ({
          status: 400,
          error: 'TransactionCanceledException',
          body: JSON.stringify({
            __type: 'com.amazonaws.dynamodb.v20120810#TransactionCanceledException',
            Message: 'invented',
            CancellationReasons: codes.map((Code) => ({ Code })),
          }),
        })
        network.fate = (action) =>
          action === 'TransactWriteItems' && network.sent.length <= 2
            ? cancelled('None', 'TransactionConflict')
            : 'answered'
        assert.deepEqual(await metadata.updateHead(key, append('a'), writes), { applied: true, head: undefined })
        assert.equal(network.sent.length, 3)
        network.fate = (action) =>
          action === 'TransactWriteItems' ? cancelled('TransactionConflict', 'ConditionalCheckFailed') : 'answered'
        const answer = await metadata.updateHead(key, append('b'), writes)
        assert.deepEqual(answer, {
          applied: false,
          head: { ...newHead(key), hw: 1, tail: { a: 0 } },
          items: [{ key: item, version: 'mine', value: 1 }],
        })
        network.fate = () => cancelled('None', 'ValidationError')
        await assert.rejects(metadata.updateHead(key, append('c'), writes), { name: 'TransactionCanceledException' })
      },
    )

    specify('reads are repeated, and have no effect', async ({ metadata, calm, network }) => {
      const key = await created(calm)
      network.fate = () => (network.sent.length < readAttemptsMax ? 'lost' : 'answered')
      assert.deepEqual(await metadata.readHead(key), newHead(key))
      assert.equal(network.sent.length, readAttemptsMax)
      network.fate = () => 'lost'
      await assert.rejects(metadata.readHead(key), unavailable('none', 'failed'))
      await assert.rejects(metadata.query('rows/x/0', { limit: 1 }), unavailable('none', 'failed'))
    })

    test('a missing table, and an endpoint where nobody listens, are unavailable without effect', async () => {
      const { DynamoDbMetadata } = await import('../../lib/adapters/aws/dynamodb-metadata.ts')
      const noTable = new DynamoDbMetadata({ ...serviceOf(engine), table: 'there-is-no-such-table' })
      await assert.rejects(noTable.updateHead(newKey(), append('a')), unavailable('none', 'failed'))
      noTable.close()
      const nobody = new DynamoDbMetadata({ ...serviceOf(engine), endpoint: 'http://127.0.0.1:1', table: 'any' })
      await assert.rejects(nobody.updateHead(newKey(), append('a')), unavailable('none', 'failed'))
      nobody.close()
    })
  })

for (const engine of fastEngines.s3)
  describe(`S3 on ${engine.name}: lost and repeated answers`, () => {
    const bucket = shared(() => newBucket(engine))
    const bytes = (text: string) => new TextEncoder().encode(text)
    const newObjectKey = () => segmentObjectKey(segmentIdAt(Date.now(), Math.random))

    const open = async () => {
      const network = new FaultyNetwork(networkOf(engine))
      return { network, objects: (await bucket()).open({ requestHandler: network }) }
    }

    test('a creation whose answer is lost is sent once, may have had an effect, and its repeat finds the object', async () => {
      const { network, objects } = await open()
      const key = newObjectKey()
      network.fate = () => 'timeout'
      await assert.rejects(objects.create(key, [bytes('one,'), bytes('two')]), unavailable('possible', 'timeout'))
      assert.deepEqual(network.sent, ['PUT'])
      network.fate = () => 'answered'
      assert.equal(await objects.create(key, [bytes('one,'), bytes('two')]), 'exists')
      assert.deepEqual(await objects.read(key, 0, 100), bytes('one,two'))
    })

    for (const [status, error] of [
      [409, 'ConditionalRequestConflict'],
      [503, 'SlowDown'],
    ] as const)
      test(`${error} sends the whole content again, and gives up without effect`, async () => {
        const { network, objects } = await open()
        const key = newObjectKey()
        network.fate = () => (network.sent.length <= 2 ? s3Error(status, error) : 'answered')
        assert.equal(await objects.create(key, [bytes('one,'), bytes('two')]), 'created')
        assert.equal(network.sent.length, 3)
        assert.deepEqual(await objects.read(key, 0, 100), bytes('one,two'))
        network.fate = () => s3Error(status, error)
        await assert.rejects(objects.create(newObjectKey(), [bytes('x')]), unavailable('none', 'throttled'))
      })

    for (const [status, error] of [
      [500, 'InternalError'],
      [503, 'ServiceUnavailable'],
    ] as const)
      test(`a creation answered with ${status} ${error} is sent once and may have had an effect`, async () => {
        const { network, objects } = await open()
        network.fate = () => s3Error(status, error)
        await assert.rejects(objects.create(newObjectKey(), [bytes('x')]), unavailable('possible', 'failed'))
        assert.equal(network.sent.length, 1)
      })

    test('reads, listings and deletions are repeated', async () => {
      const { network, objects } = await open()
      const key = newObjectKey()
      await objects.create(key, [bytes('content')])
      for (const act of [
        () => objects.read(key, 0, 10),
        () => objects.list(key, undefined, 1),
        () => objects.delete(key),
      ]) {
        network.sent.length = 0
        network.fate = () => (network.sent.length < readAttemptsMax ? 'lost' : 'answered')
        await act()
        assert.equal(network.sent.length, readAttemptsMax)
      }
      network.fate = () => 'answered'
      assert.equal(await objects.read(key, 0, 10), undefined)
    })
  })

function unavailable(effects: string, why: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Unavailable, String(error))
    assert.deepEqual([error.effects, error.why], [effects, why], error.message)
    return true
  }
}
