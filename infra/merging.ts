/**
 * Has the merge function look after partitions soon after rows came to them: the table's stream tells of each row that is put, and of
 * nothing else, a window's rows at a time. What fails is tried a few times and then left: it is only late, and the round of upkeep comes to
 * it. Only rolls insert rows; a merge replaces one, so that it does not call itself.
 */
import { Duration } from 'aws-cdk-lib'
import { EventSourceMapping, FilterCriteria, FilterRule, StartingPosition } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { rowsPrefix } from '../lib/core/items.ts'
import type { HighwaterFunction } from './functions.ts'

export interface MergingProps {
  readonly merge: HighwaterFunction
  readonly streamArn: string
  /**
   * How long rows are gathered before the function is called with them: up to five minutes, in whole seconds.
   * @default a minute
   */
  readonly windowMs?: number
}

const windowMsDefault = 60_000
/** The most that there may be: a call costs more than the keys in it. */
const rowsPerCallMax = 10_000
const windowMsMax = 300_000

export class Merging extends Construct {
  readonly window: Duration
  readonly source: EventSourceMapping

  constructor(scope: Construct, id: string, { merge, streamArn, windowMs = windowMsDefault }: MergingProps) {
    super(scope, id)
    this.window = Duration.seconds(Math.min(Math.ceil(windowMs / 1_000), windowMsMax / 1_000))
    this.source = new EventSourceMapping(this, 'Rows', {
      target: merge.function,
      eventSourceArn: streamArn,
      // What was put while nobody read is not left out.
      startingPosition: StartingPosition.TRIM_HORIZON,
      batchSize: rowsPerCallMax,
      maxBatchingWindow: this.window,
      bisectBatchOnError: true,
      retryAttempts: 3,
      maxRecordAge: Duration.hours(6),
      filters: [
        FilterCriteria.filter({
          eventName: FilterRule.isEqual('INSERT'),
          dynamodb: { Keys: { pk: { S: FilterRule.beginsWith(rowsPrefix) } } },
        }),
      ],
    })
  }
}
