/** Runs the maintain function, or the sweep, again and again. */
import { Duration } from 'aws-cdk-lib'
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { Schedule, ScheduleExpression, TimeWindow } from 'aws-cdk-lib/aws-scheduler'
import { LambdaInvoke } from 'aws-cdk-lib/aws-scheduler-targets'
import { Construct } from 'constructs'
import { defaultSettings } from '../lib/core/settings.ts'
import type { HighwaterFunction } from './functions.ts'

export interface MaintenanceProps {
  readonly maintain: HighwaterFunction
  /** @default maintainIntervalMs of the settings */
  readonly intervalMs?: number
}

export class Maintenance extends Construct {
  readonly interval: Duration
  readonly schedule: Schedule

  constructor(
    scope: Construct,
    id: string,
    { maintain, intervalMs = defaultSettings.maintainIntervalMs }: MaintenanceProps,
  ) {
    super(scope, id)
    // The scheduler knows whole minutes.
    this.interval = Duration.minutes(Math.max(1, Math.ceil(intervalMs / 60_000)))
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com'),
      description: `Highwater: starts the ${maintain.name} function`,
      inlinePolicies: {
        Invoke: new PolicyDocument({
          statements: [
            new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [maintain.function.functionArn] }),
          ],
        }),
      },
    })
    this.schedule = new Schedule(this, 'Schedule', {
      description: `Highwater: ${maintain.name}`,
      schedule: ScheduleExpression.rate(this.interval),
      // Any minute will do: not all the world's logs in the first second of one.
      timeWindow: TimeWindow.flexible(Duration.minutes(1)),
      // What was missed is done in the next round.
      target: new LambdaInvoke(maintain.function, { role: role.withoutPolicyUpdates(), retryAttempts: 0 }),
    })
  }
}
