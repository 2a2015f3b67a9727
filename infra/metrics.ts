/** The metrics that the alarms and the dashboard look at. */
import type { Duration } from 'aws-cdk-lib'
import { Metric, Stats } from 'aws-cdk-lib/aws-cloudwatch'
import type { ITable, Table } from 'aws-cdk-lib/aws-dynamodb'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { type FunctionName, type MetricEntry, metricsNamespace } from '../functions/metrics.ts'

/** One of ours, of one function of this deployment. */
export function ours(
  { name }: MetricEntry,
  {
    service,
    of,
    period,
    statistic = Stats.SUM,
    label,
    reason,
  }: {
    readonly service: string
    readonly of: FunctionName
    readonly period: Duration
    readonly statistic?: string
    readonly label?: string
    readonly reason?: string
  },
): Metric {
  return new Metric({
    namespace: metricsNamespace,
    metricName: name,
    dimensionsMap: { service, function: of, ...(reason === undefined ? {} : { reason }) },
    statistic,
    period,
    ...(label === undefined ? {} : { label }),
  })
}

export function ofFunction(made: IFunction, name: string, statistic: string, period: Duration, label?: string): Metric {
  return made.metric(name, { statistic, period, ...(label === undefined ? {} : { label }) })
}

/** A metric with a label is no plain metric to an alarm, and some local AWS take plain ones only. */
export function ofTable(table: ITable | Table, name: string, period: Duration, label?: string): Metric {
  return new Metric({
    namespace: 'AWS/DynamoDB',
    metricName: name,
    dimensionsMap: { TableName: table.tableName },
    statistic: Stats.SUM,
    period,
    ...(label === undefined ? {} : { label }),
  })
}
