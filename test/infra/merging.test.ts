import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rowKey, rowsPrefix } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { deployments } from './deployments.ts'
import { allowing, flat, statementsOf } from './policies.ts'
import { type Contexts, ofType, synthesise } from './synthesis.ts'

const stream = '<HighwaterMetadata.StreamArn>'

function sourcesOf(contexts: Contexts = {}) {
  const { resources } = synthesise(contexts)
  return ofType(resources, 'AWS::Lambda::EventSourceMapping').map(([, { Properties }]) => Properties)
}

describe('the merge function', () => {
  it("is called with the rows that the table's stream tells of, and with nothing else", () => {
    const [source, ...others] = sourcesOf()
    assert.deepEqual(others, [])
    assert.equal(flat(source?.EventSourceArn), stream)
    assert.match(flat(source?.FunctionName), /^<LogMergeFunction/)
    const filters = source?.FilterCriteria.Filters.map(({ Pattern }: { Pattern: string }) => JSON.parse(Pattern))
    assert.deepEqual(filters, [{ eventName: ['INSERT'], dynamodb: { Keys: { pk: { S: [{ prefix: rowsPrefix }] } } } }])
    assert.ok(rowKey('t' as TopicId, 0, 0).collection.startsWith(rowsPrefix))
  })

  it('is called once a minute with all that came, from the oldest there is on, and not for ever with what fails', () => {
    const [source] = sourcesOf()
    const { BatchSize, MaximumBatchingWindowInSeconds, StartingPosition, ParallelizationFactor = 1 } = source ?? {}
    assert.deepEqual(
      [BatchSize, MaximumBatchingWindowInSeconds, StartingPosition, ParallelizationFactor],
      [10_000, 60, 'TRIM_HORIZON', 1],
    )
    assert.equal(source?.BisectBatchOnFunctionError, true)
    assert.equal(source?.MaximumRetryAttempts, 3)
    assert.equal(source?.MaximumRecordAgeInSeconds, 6 * 3_600)
  })

  it('is called as often as mergeIntervalMs says, in whole seconds and up to five minutes', () => {
    const window = (mergeIntervalMs: number) =>
      sourcesOf({ settings: JSON.stringify({ mergeIntervalMs }) })[0]?.MaximumBatchingWindowInSeconds
    assert.deepEqual([window(30_000), window(1_500), window(86_400_000)], [30, 2, 300])
  })

  it('alone may read the stream, and may do nothing to it', () => {
    const { resources } = synthesise({ auth: 'api-keys' })
    for (const [id] of ofType(resources, 'AWS::IAM::Role')) {
      const statements = statementsOf(resources, id)
      const may = (action: string) => allowing(statements, { action, resource: stream }) !== undefined
      for (const action of ['DescribeStream', 'GetRecords', 'GetShardIterator', 'ListStreams'])
        assert.equal(may(`dynamodb:${action}`), /MergeRole/.test(id), id)
      assert.ok(!may('dynamodb:DeleteItem') && !may('dynamodb:UpdateTable'), id)
    }
  })

  it('is there in every deployment, and waits for the round of upkeep where the table is one that was restored', () => {
    for (const contexts of deployments) {
      const { resources } = synthesise(contexts)
      assert.equal(ofType(resources, 'AWS::IAM::Role').filter(([id]) => /MergeRole/.test(id)).length, 1)
      const isRestored = 'table' in contexts
      assert.equal(sourcesOf(contexts).length, isRestored ? 0 : 1)
      const alarms = ofType(resources, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => Properties.AlarmName)
      if (alarms.length > 0)
        assert.equal(
          alarms.some((name) => name.endsWith('-Merge-Behind')),
          !isRestored,
        )
    }
  })
})
