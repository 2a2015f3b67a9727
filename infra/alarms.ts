/**
 * What somebody should look at, by name. docs/operations.md says of each what it means and what to do; a test holds the two
 * together. Those named after an invariant (docs/architecture.md) watch what the engine asserts; the others are symptoms.
 */
import { Duration } from 'aws-cdk-lib'
import { Alarm, ComparisonOperator, type IMetric, Stats, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import { Construct } from 'constructs'
import { commitRefusals, maintainMetrics, requestMetrics } from '../functions/metrics.ts'
import type { HighwaterApi } from './api.ts'
import type { HighwaterFunction } from './functions.ts'
import type { Maintenance } from './maintenance.ts'
import { ofFunction, ofTable, ours } from './metrics.ts'
import type { HighwaterStorage } from './storage.ts'

export interface AlarmsProps {
  readonly service: string
  readonly storage: HighwaterStorage
  readonly maintain: HighwaterFunction
  readonly merge: HighwaterFunction
  readonly maintenance: Maintenance
  /** Those that answer requests; none where a Web Function does. */
  readonly functions: readonly HighwaterFunction[]
  readonly api?: HighwaterApi
  /** Told of every alarm. @default nobody */
  readonly topic?: ITopic
}

interface AlarmEntry {
  /** For people who have a moment to read: what is wrong. */
  readonly description: string
  /**
   * Several: an alarm for each, with its name behind that of the alarm. One over their sum would cost as much, would not say
   * which it is, and a local AWS may not know such alarms.
   */
  readonly metric: IMetric | Readonly<Record<string, IMetric>>
  readonly threshold: number
  readonly evaluationPeriods?: number
  readonly isBelow?: boolean
  /** @default what was not measured is well */
  readonly missing?: TreatMissingData
}

const period = Duration.minutes(5)

export class Alarms extends Construct {
  readonly alarms: Readonly<Record<string, Alarm>>

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id)
    const alarms: Record<string, Alarm> = {}
    for (const [name, entry] of Object.entries(entriesOf(props)))
      for (const [fullName, metric] of metricsOf(name, entry)) {
        const alarm = new Alarm(this, fullName, {
          alarmName: `${props.service}-${fullName}`,
          alarmDescription: `${entry.description} See docs/operations.md, ${name}.`,
          metric,
          threshold: entry.threshold,
          evaluationPeriods: entry.evaluationPeriods ?? 1,
          comparisonOperator:
            entry.isBelow === true
              ? ComparisonOperator.LESS_THAN_THRESHOLD
              : ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
          treatMissingData: entry.missing ?? TreatMissingData.NOT_BREACHING,
        })
        if (props.topic !== undefined) {
          alarm.addAlarmAction(new SnsAction(props.topic))
          alarm.addOkAction(new SnsAction(props.topic))
        }
        alarms[fullName] = alarm
      }
    this.alarms = alarms
  }
}

function metricsOf(name: string, { metric }: AlarmEntry): [fullName: string, metric: IMetric][] {
  if ('toMetricConfig' in metric) return [[name, metric as IMetric]]
  return Object.entries(metric).map(([which, each]) => [`${name}-${which}`, each])
}

function entriesOf(props: AlarmsProps): Record<string, AlarmEntry> {
  const { service, storage, maintain, merge, maintenance, functions, api } = props
  const writer = functions.length === 0 ? 'web' : 'produce'
  const ofEach = (metric: string) =>
    Object.fromEntries(functions.map((each) => [idOf(each), ofFunction(each.function, metric, Stats.SUM, period)]))
  return {
    'D4-UnknownOutcomes': {
      description:
        'Commits end without the store saying whether they applied; they are being proved, which takes time.',
      metric: ours(commitRefusals, { service, of: writer, reason: 'unknown', period }),
      threshold: 10,
      evaluationPeriods: 2,
    },
    'D8-TailFull': {
      description:
        'A partition is written faster than its tail is rolled into rows: appends are refused and tried again.',
      metric: ours(commitRefusals, { service, of: writer, reason: 'tail-full', period }),
      threshold: 10,
      evaluationPeriods: 2,
    },
    'Upkeep-Missed': {
      description: 'Upkeep has not begun for three rounds. Records are safe; idle producers are not forgotten.',
      metric: ofFunction(maintain.function, 'Invocations', Stats.SUM, maintenance.interval),
      threshold: 1,
      evaluationPeriods: 3,
      isBelow: true,
      missing: TreatMissingData.BREACHING,
    },
    'Upkeep-Failing': {
      description: 'Upkeep fails. Records are safe; idle producers are not forgotten.',
      metric: ofFunction(maintain.function, 'Errors', Stats.SUM, maintenance.interval),
      threshold: 1,
      evaluationPeriods: 3,
    },
    'Upkeep-Incomplete': {
      description:
        'Upkeep left out partitions that it could not look after: one is damaged, or the store did not answer for it.',
      metric: {
        maintain: ours(maintainMetrics.failed, { service, of: 'maintain', period }),
        merge: ours(maintainMetrics.failed, { service, of: 'merge', period }),
      },
      threshold: 1,
    },
    'Merge-Failing': {
      description: 'The merge function fails. Records are safe; small chunks wait for the daily round of upkeep.',
      metric: ofFunction(merge.function, 'Errors', Stats.SUM, period),
      threshold: 1,
      evaluationPeriods: 3,
    },
    ...(storage.streamArn === undefined
      ? {}
      : {
          'Merge-Behind': {
            description: "The merge function is half an hour behind the table's stream: small chunks pile up.",
            metric: ofFunction(merge.function, 'IteratorAge', Stats.MAXIMUM, period),
            threshold: 1_800_000,
            evaluationPeriods: 2,
          },
        }),
    'Table-Throttled': {
      description: 'DynamoDB turns requests away: one partition of the log is too hot, or the account is at its limit.',
      metric: {
        writes: ofTable(storage.table, 'WriteThrottleEvents', period),
        reads: ofTable(storage.table, 'ReadThrottleEvents', period),
      },
      threshold: 10,
      evaluationPeriods: 2,
    },
    'Answers-Failing': {
      description: 'Requests are answered with 500 and above.',
      metric:
        api === undefined
          ? ours(requestMetrics.errors, { service, of: 'web', period })
          : api.stage.metricServerError({ statistic: Stats.SUM, period }),
      threshold: 5,
      evaluationPeriods: 2,
    },
    ...(functions.length === 0
      ? {}
      : {
          'Functions-Crashing': {
            description: 'Functions end without an answer: out of memory, out of time, or broken before they begin.',
            metric: ofEach('Errors'),
            threshold: 1,
            evaluationPeriods: 2,
          },
          'Functions-Throttled': {
            description: 'Lambda turns requests away: the account runs as many functions at once as it may.',
            metric: ofEach('Throttles'),
            threshold: 1,
            evaluationPeriods: 2,
          },
        }),
    'Produce-Slow': {
      description: 'One produce in a hundred takes longer than three seconds.',
      metric: ours(requestMetrics.duration, { service, of: writer, statistic: Stats.p(99), period }),
      threshold: 3_000,
      evaluationPeriods: 3,
    },
  }
}

/** Two functions may fetch. */
function idOf({ node }: HighwaterFunction): string {
  return node.id.charAt(0).toLowerCase() + node.id.slice(1)
}
