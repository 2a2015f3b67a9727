/** A page for a person: is it well, how much goes through, how fast, why not, and what does it cost. */
import { Duration, Stack } from 'aws-cdk-lib'
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  Color,
  GraphWidget,
  GraphWidgetView,
  type IMetric,
  type IWidget,
  MathExpression,
  Metric,
  PeriodOverride,
  Stats,
  TextWidget,
  TextWidgetBackground,
} from 'aws-cdk-lib/aws-cloudwatch'
import type { LogGroup } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import {
  commitRefusals,
  countMetrics,
  type FunctionName,
  maintainMetrics,
  metricsNamespace,
  requestMetrics,
  stepMetrics,
} from '../functions/metrics.ts'
import type { HighwaterApi } from './api.ts'
import type { HighwaterFunction } from './functions.ts'
import { ofFunction, ofTable, ours } from './metrics.ts'
import { prices } from './prices.ts'
import type { HighwaterStorage } from './storage.ts'

export interface DashboardProps {
  readonly service: string
  readonly storage: HighwaterStorage
  /** All of them. A Web Function has no metrics of this kind; its maintain function has. */
  readonly functions: readonly HighwaterFunction[]
  readonly api?: HighwaterApi
  readonly logGroups: readonly LogGroup[]
  readonly alarms: readonly Alarm[]
}

/** Functions that look after partitions. */
const keepers = ['maintain', 'merge'] as const
const period = Duration.minutes(1)
const wide = 24
const half = 12
const third = 8
const height = 6

export class Dashboard extends Construct {
  readonly dashboard: CloudWatchDashboard

  constructor(scope: Construct, id: string, props: DashboardProps) {
    super(scope, id)
    this.dashboard = new CloudWatchDashboard(this, 'Dashboard', {
      dashboardName: props.service,
      defaultInterval: Duration.hours(3),
      periodOverride: PeriodOverride.AUTO,
      widgets: [
        [title('Is it well?', 'Alarms, and what callers are answered. Runbook: docs/operations.md.')],
        health(props),
        [title('What goes through', 'Records and bytes, in and out, and what was refused.')],
        throughput(props),
        [
          title(
            'How long it takes',
            'Step by step: a produce uploads, then commits; a fetch finds head, rows, chunks, or waits.',
          ),
        ],
        latency(props),
        [title('What it is made of', 'Functions and the table.')],
        resources(props),
        [
          title(
            'What it costs, about',
            'USD per hour, at list prices of us-east-1 in November 2026, without storage, free tiers and traffic. The bill is what counts.',
          ),
        ],
        cost(props),
      ],
    })
  }
}

function title(text: string, below: string): IWidget {
  return new TextWidget({
    markdown: `## ${text}\n${below}`,
    width: wide,
    height: 2,
    background: TextWidgetBackground.TRANSPARENT,
  })
}

function graph(
  name: string,
  width: number,
  left: IMetric[],
  options: { right?: IMetric[]; unit?: string; stacked?: boolean } = {},
) {
  return new GraphWidget({
    title: name,
    width,
    height,
    left,
    ...(options.right === undefined ? {} : { right: options.right }),
    stacked: options.stacked ?? false,
    leftYAxis: { min: 0, showUnits: false, ...(options.unit === undefined ? {} : { label: options.unit }) },
    rightYAxis: { min: 0, showUnits: false },
    view: GraphWidgetView.TIME_SERIES,
  })
}

/** Who produces, fetches and so on: functions of their own, or the one that does everything. */
function workerOf(props: DashboardProps, name: FunctionName): FunctionName {
  return props.functions.some((each) => each.name === name) ? name : 'web'
}

function health(props: DashboardProps): IWidget[] {
  const { api, service } = props
  const answers =
    api === undefined
      ? graph('Answers', half, [
          ours(requestMetrics.refused, { service, of: 'web', period, label: '400 to 499' }),
          ours(requestMetrics.errors, { service, of: 'web', period, label: '500 and above' }),
        ])
      : graph('Answers', half, [
          api.stage.metricCount({ period, statistic: Stats.SAMPLE_COUNT, label: 'all', color: Color.GREEN }),
          api.stage.metricClientError({ period, statistic: Stats.SUM, label: '400 to 499', color: Color.ORANGE }),
          api.stage.metricServerError({ period, statistic: Stats.SUM, label: '500 and above', color: Color.RED }),
        ])
  if (props.alarms.length === 0) return [answers]
  return [new AlarmStatusWidget({ title: 'Alarms', width: half, height, alarms: [...props.alarms] }), answers]
}

function throughput(props: DashboardProps): IWidget[] {
  const { service } = props
  const of = workerOf(props, 'produce')
  const readers = [...new Set([workerOf(props, 'fetch'), workerOf(props, 'consume')])].filter(
    (name) => name === 'web' || props.functions.some((each) => each.name === name),
  )
  const read = (entry: (typeof countMetrics)[keyof typeof countMetrics], label: string) =>
    readers.map((reader) => ours(entry, { service, of: reader, period, label: `${label} (${reader})` }))
  return [
    graph('Records a minute', third, [
      ours(countMetrics.recordsAppended, { service, of, period, label: 'in' }),
      ours(countMetrics.recordsRepeated, { service, of, period, label: 'in, repeated' }),
      ...read(countMetrics.recordsFetched, 'out'),
    ]),
    graph('Bytes a minute', third, [
      ours(countMetrics.bytesAppended, { service, of, period, label: 'in' }),
      ...read(countMetrics.bytesFetched, 'out'),
    ]),
    graph('Commits that did not apply, by reason', third, [
      // Whatever reasons there are: most are tried again at once.
      new MathExpression({
        expression: `SEARCH('{${metricsNamespace},service,function,reason} service="${service}" MetricName="${commitRefusals.name}"', 'Sum', 60)`,
        usingMetrics: {},
        label: '',
        period,
      }),
    ]),
  ]
}

function latency(props: DashboardProps): IWidget[] {
  const { service } = props
  const steps = (of: FunctionName, names: (keyof typeof stepMetrics)[], percentile: number) =>
    names.map((name) =>
      ours(stepMetrics[name], { service, of, period, statistic: Stats.p(percentile), label: `${name} p${percentile}` }),
    )
  const whole = (of: FunctionName, percentile: number) =>
    ours(requestMetrics.duration, { service, of, period, statistic: Stats.p(percentile), label: `all p${percentile}` })
  const producer = workerOf(props, 'produce')
  const reader = workerOf(props, 'fetch')
  return [
    graph('Produce: half of them, below', half, [...steps(producer, ['upload', 'commit'], 50), whole(producer, 50)], {
      unit: 'ms',
    }),
    graph('Produce: 99 of 100, below', half, [...steps(producer, ['upload', 'commit'], 99), whole(producer, 99)], {
      unit: 'ms',
    }),
    graph('Fetch: half of them, below', half, steps(reader, ['head', 'rows', 'chunks', 'wait'], 50), { unit: 'ms' }),
    graph('Fetch: 99 of 100, below', half, steps(reader, ['head', 'rows', 'chunks'], 99), { unit: 'ms' }),
  ]
}

function resources(props: DashboardProps): IWidget[] {
  const { functions, storage, service } = props
  const each = (name: string, statistic: string) =>
    functions.map((made) => ofFunction(made.function, name, statistic, period, made.name))
  return [
    graph('Function calls', third, each('Invocations', Stats.SUM)),
    graph('Running at once', third, each('ConcurrentExecutions', Stats.MAXIMUM)),
    graph('Errors and throttles', third, each('Errors', Stats.SUM), { right: each('Throttles', Stats.SUM) }),
    graph('Time of a call, average', third, each('Duration', Stats.AVERAGE), { unit: 'ms' }),
    graph('Capacity units of the table', third, [
      ofTable(storage.table, 'ConsumedWriteCapacityUnits', period, 'written'),
      ofTable(storage.table, 'ConsumedReadCapacityUnits', period, 'read'),
    ]),
    graph('Stored: segments, and small chunks in the table', half, [
      ours(countMetrics.segmentsWritten, { service, of: workerOf(props, 'produce'), period, label: 'segments' }),
      ours(countMetrics.inlineChunksWritten, {
        service,
        of: workerOf(props, 'produce'),
        period,
        label: 'small chunks',
      }),
      ...keepers.map((of) =>
        ours(countMetrics.segmentsWritten, { service, of, period, label: `merged segments (${of})` }),
      ),
    ]),
    graph('Upkeep', half, [
      ...keepers.flatMap((of) => [
        ours(maintainMetrics.partitions, { service, of, period, label: `partitions (${of})` }),
        ours(countMetrics.merges, { service, of, period, label: `merges (${of})` }),
      ]),
      ours(maintainMetrics.left, { service, of: 'merge', period, label: 'partitions left (merge)' }),
      ours(countMetrics.segmentsDeleted, { service, of: 'sweep', period, label: 'segments deleted' }),
    ]),
    graph('Turned away by the table', third, [
      ofTable(storage.table, 'WriteThrottleEvents', period, 'writes'),
      ofTable(storage.table, 'ReadThrottleEvents', period, 'reads'),
    ]),
  ]
}

function cost(props: DashboardProps): IWidget[] {
  const { service, storage, functions, api, logGroups } = props
  const hour = Duration.hours(1)
  // Ids are those of the whole graph.
  let ids = 0
  const named = (metrics: IMetric[]): [string, IMetric][] => metrics.map((metric) => [`m${ids++}`, metric])
  const line = (label: string, price: number, metrics: IMetric[]) => {
    const using = named(metrics)
    return new MathExpression({
      expression: `(${using.map(([id]) => `FILL(${id}, 0)`).join(' + ')}) * ${decimal(price)}`,
      usingMetrics: Object.fromEntries(using),
      label,
      period: hour,
    })
  }
  const sum = (made: HighwaterFunction, name: string) => ofFunction(made.function, name, Stats.SUM, hour)
  const durations = named(functions.map((made) => sum(made, 'Duration')))
  const gbSecondsOf = (index: number) => (functions[index]?.memoryMb ?? 0) / 1_024 / 1_000
  const time = new MathExpression({
    expression: durations
      .map(([id], index) => `FILL(${id}, 0) * ${decimal(gbSecondsOf(index) * prices.functionGbSecond)}`)
      .join(' + '),
    usingMetrics: Object.fromEntries(durations),
    label: 'function time',
    period: hour,
  })
  const lines = [
    line('S3: segments put', prices.s3Put, [
      ours(countMetrics.segmentsWritten, { service, of: workerOf(props, 'produce'), period: hour }),
      ...keepers.map((of) => ours(countMetrics.segmentsWritten, { service, of, period: hour })),
    ]),
    line('table: writes', prices.writeUnit, [ofTable(storage.table, 'ConsumedWriteCapacityUnits', hour, 'written')]),
    line('table: reads', prices.readUnit, [ofTable(storage.table, 'ConsumedReadCapacityUnits', hour, 'read')]),
    ...(api === undefined
      ? []
      : [
          line('API: requests', prices.apiRequest, [
            api.stage.metricCount({ period: hour, statistic: Stats.SAMPLE_COUNT }),
          ]),
        ]),
    line(
      'function calls',
      prices.functionRequest,
      functions.map((made) => sum(made, 'Invocations')),
    ),
    time,
    line(
      'logs',
      prices.logGb / 1e9,
      logGroups.map(
        (group) =>
          new Metric({
            namespace: 'AWS/Logs',
            metricName: 'IncomingBytes',
            dimensionsMap: { LogGroupName: group.logGroupName },
            statistic: Stats.SUM,
            period: hour,
          }),
      ),
    ),
  ]
  return [
    graph(`Cost of requests and logs (${Stack.of(storage).stackName})`, wide, lines, {
      unit: 'USD an hour',
      stacked: true,
    }),
  ]
}

/** CloudWatch takes the e of 5e-10 for a metric. */
function decimal(n: number): string {
  return n.toFixed(18)
}
