import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  commitRefusals,
  countMetrics,
  maintainMetrics,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
} from '../../functions/metrics.ts'
import { flat } from './policies.ts'
import { type Contexts, ofType, type Properties, synthesise } from './synthesis.ts'

const root = join(import.meta.dirname, '../..')

function alarmsOf(contexts: Contexts = {}): Properties[] {
  return ofType(synthesise(contexts).resources, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => Properties)
}

/** Metrics that an alarm looks at, alone or as part of a sum. */
function metricsOf(alarm: Properties): { name: string; namespace: string; dimensions: Record<string, string> }[] {
  const metrics = (alarm.Metrics as Properties[] | undefined)?.flatMap(
    ({ MetricStat }) => MetricStat?.Metric ?? [],
  ) ?? [alarm]
  return metrics.map(({ MetricName, Namespace, Dimensions = [] }) => ({
    name: MetricName,
    namespace: Namespace,
    dimensions: Object.fromEntries((Dimensions as Properties[]).map(({ Name, Value }) => [Name, flat(Value)])),
  }))
}

interface Widget {
  readonly type: string
  readonly properties: Properties
}

/** The dashboard's body, with references as `flat` writes them. */
function widgetsOf(contexts: Contexts = {}): Widget[] {
  const dashboards = ofType(synthesise(contexts).resources, 'AWS::CloudWatch::Dashboard')
  assert.equal(dashboards.length, 1)
  return (JSON.parse(flat(dashboards[0]![1].Properties.DashboardBody)) as { widgets: Widget[] }).widgets
}

/** Of the functions that answer requests. */
const works = ['admin', 'consume', 'fetch', 'produce']

describe('the alarms', () => {
  const names = (contexts: Contexts = {}) =>
    alarmsOf(contexts)
      .map(({ AlarmName }) => String(AlarmName).replace(/^Highwater(-[a-z]+)?-Log-/, ''))
      .sort()

  it('are these, each in the handbook with what to do', () => {
    assert.deepEqual(names(), [
      'Answers-Failing',
      'D4-UnknownOutcomes',
      'D8-TailFull',
      ...works.map((work) => `Functions-Crashing-${work}`),
      ...works.map((work) => `Functions-Throttled-${work}`),
      'Merge-Behind',
      'Merge-Failing',
      'Produce-Slow',
      'Table-Throttled-reads',
      'Table-Throttled-writes',
      'Upkeep-Failing',
      'Upkeep-Incomplete-maintain',
      'Upkeep-Incomplete-merge',
      'Upkeep-Missed',
    ])
    const handbook = readFileSync(join(root, 'docs/operations.md'), 'utf8')
    for (const { AlarmDescription, AlarmName } of [...alarmsOf(), ...alarmsOf({ compute: 'web' })]) {
      const [, section = ''] = /^[A-Z].+\. See docs\/operations\.md, ([\w-]+)\.$/.exec(AlarmDescription) ?? []
      assert.ok(AlarmName.includes(`-Log-${section}`) && handbook.includes(`### ${section}\n`), AlarmName)
    }
  })

  it('look at one plain metric each: that is all that a local AWS knows', () => {
    for (const contexts of [{}, { compute: 'web' }])
      for (const { AlarmName, Metrics, MetricName } of alarmsOf(contexts)) {
        assert.equal(Metrics, undefined, AlarmName)
        assert.ok(MetricName, AlarmName)
      }
  })

  it('watch every function that answers, the one that streams, too', () => {
    const streaming = names({ functionUrl: 'true' }).filter((name) => !names().includes(name))
    assert.deepEqual(streaming, ['Functions-Crashing-fetchStream', 'Functions-Throttled-fetchStream'])
  })

  it('can be switched off, and so can the dashboard', () => {
    assert.deepEqual(alarmsOf({ alarms: 'false', dashboard: 'false' }), [])
    const { resources } = synthesise({ alarms: 'false', dashboard: 'false' })
    assert.equal(ofType(resources, 'AWS::CloudWatch::Dashboard').length, 0)
  })

  it('tell the topic that is named, of the end, too', () => {
    const alarmTopicArn = 'arn:aws:sns:eu-west-1:123456789012:alerts'
    for (const { AlarmActions, OKActions } of alarmsOf({ alarmTopicArn }))
      assert.deepEqual([AlarmActions, OKActions], [[alarmTopicArn], [alarmTopicArn]])
    for (const { AlarmActions } of alarmsOf()) assert.equal(AlarmActions, undefined)
  })

  it('look at metrics that the functions have, of this deployment and of no other', () => {
    const { failed } = maintainMetrics
    const ours = new Set(
      [commitRefusals, requestMetrics.errors, requestMetrics.duration, failed].map(({ name }) => name),
    )
    for (const contexts of [{}, { compute: 'web' }])
      for (const alarm of alarmsOf(contexts))
        for (const { name, namespace, dimensions } of metricsOf(alarm)) {
          if (namespace !== metricsNamespace) {
            // A metric of a service, of one resource of ours: a sum over all there are would be somebody else's as well.
            assert.ok(
              ['FunctionName', 'TableName', 'ApiId'].some((key) => dimensions[key]?.startsWith('<')),
              alarm.AlarmName,
            )
            continue
          }
          assert.ok(ours.has(name), `${alarm.AlarmName}: ${name}`)
          assert.equal(dimensions.service, 'Highwater-Log')
          const [, keeper] = /-Upkeep-Incomplete-(\w+)$/.exec(alarm.AlarmName) ?? []
          assert.equal(dimensions.function, keeper ?? ('compute' in contexts ? 'web' : 'produce'))
        }
  })

  it('ring when upkeep is not there at all', () => {
    const missed = alarmsOf().find(({ AlarmName }) => AlarmName === 'Highwater-Log-Upkeep-Missed')
    assert.equal(missed?.TreatMissingData, 'breaching')
    assert.equal(missed?.ComparisonOperator, 'LessThanThreshold')
    assert.equal(missed?.Period, 600)
    assert.equal(missed?.EvaluationPeriods, 3)
    for (const { AlarmName, TreatMissingData } of alarmsOf())
      if (AlarmName !== missed?.AlarmName) assert.equal(TreatMissingData, 'notBreaching', AlarmName)
  })

  it('leave out what a Web Function has no metrics of', () => {
    assert.deepEqual(names({ compute: 'web' }), [
      'Answers-Failing',
      'D4-UnknownOutcomes',
      'D8-TailFull',
      'Merge-Behind',
      'Merge-Failing',
      'Produce-Slow',
      'Table-Throttled-reads',
      'Table-Throttled-writes',
      'Upkeep-Failing',
      'Upkeep-Incomplete-maintain',
      'Upkeep-Incomplete-merge',
      'Upkeep-Missed',
    ])
  })
})

describe('the dashboard', () => {
  it('shows how it is, what goes through, how long it takes, of what and for how much', () => {
    const shown = JSON.stringify(widgetsOf())
    for (const { name } of [
      countMetrics.recordsAppended,
      countMetrics.bytesAppended,
      countMetrics.recordsFetched,
      countMetrics.bytesFetched,
      countMetrics.segmentsWritten,
      ...Object.values(stepMetrics),
      requestMetrics.duration,
      commitRefusals,
    ])
      assert.ok(shown.includes(name), name)
    for (const name of ['Throttles', 'Errors', 'Duration', 'ConsumedWriteCapacityUnits', 'IncomingBytes'])
      assert.ok(shown.includes(`"${name}"`), name)
    assert.ok(widgetsOf().some(({ type }) => type === 'alarm'))
    assert.ok(!widgetsOf({ alarms: 'false' }).some(({ type }) => type === 'alarm'))
  })

  it('tells functions apart, and one deployment from another', () => {
    const of = (contexts: Contexts) =>
      new Set(
        widgetsOf(contexts)
          .flatMap(({ properties }) => (properties.metrics ?? []) as unknown[][])
          .filter(([namespace]) => namespace === metricsNamespace)
          .map((metric) => `${metric[metric.indexOf('service') + 1]} ${metric[metric.indexOf('function') + 1]}`),
      )
    assert.deepEqual(
      [...of({})].sort(),
      ['consume', 'fetch', 'maintain', 'merge', 'produce', 'sweep'].map((each) => `Highwater-Log ${each}`),
    )
    assert.deepEqual(
      [...of({ compute: 'web', stage: 'dev' })].sort(),
      ['maintain', 'merge', 'sweep', 'web'].map((each) => `Highwater-dev-Log ${each}`),
    )
  })

  it('reckons with decimal numbers: CloudWatch takes an exponent for a metric', () => {
    const expressions = widgetsOf()
      .flatMap(({ properties }) => (properties.metrics ?? []) as { expression?: string }[][])
      .flatMap(([first]) => first?.expression ?? [])
    assert.ok(expressions.length >= 8)
    for (const expression of expressions) assert.doesNotMatch(expression, /\de-\d/)
  })
})
