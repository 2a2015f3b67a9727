/** The stacks of a deployment. */
import { type App, CfnOutput, Stack, type StackProps } from 'aws-cdk-lib'
import { RetentionDays } from 'aws-cdk-lib/aws-logs'
import { Topic } from 'aws-cdk-lib/aws-sns'
import type { Deployment } from './contexts.ts'
import { Highwater } from './highwater.ts'
import { HighwaterStorage } from './storage.ts'

export interface Stacks {
  /** The same where there is one stack. */
  readonly storage: Stack
  readonly service: Stack
  readonly highwater: Highwater
}

export function createStacks(app: App, deployment: Deployment): Stacks {
  const { stage, isDisposable } = deployment
  const name = stage === 'production' ? 'Highwater' : `Highwater-${stage}`
  const props: StackProps = {
    description: `Highwater, a serverless log (${stage})`,
    tags: { Application: 'Highwater', Stage: stage },
    // The API's URL goes with the stack, and what is retained has to be imported again.
    terminationProtection: !isDisposable,
  }
  const isSeparate = deployment.stacks === 'separate'
  const service = new Stack(app, isSeparate ? `${name}-Service` : name, props)
  const storageStack = isSeparate ? new Stack(app, `${name}-Storage`, props) : service
  const storage = new HighwaterStorage(storageStack, 'Storage', {
    isDisposable,
    ...(deployment.table === undefined ? {} : { restoredTableName: deployment.table }),
  })
  const { fetchConcurrencyMax } = deployment
  const reading = fetchConcurrencyMax === undefined ? {} : { concurrencyMax: fetchConcurrencyMax }
  const highwater = new Highwater(service, 'Log', {
    storage,
    compute: deployment.compute,
    auth: deployment.auth,
    cors: deployment.cors,
    functionUrls: deployment.functionUrls,
    settings: deployment.settings,
    tracing: deployment.tracing,
    dashboard: deployment.dashboard,
    savedQueries: deployment.savedQueries,
    functions: { fetch: reading, consume: reading },
    alarms:
      deployment.alarms && deployment.alarmTopicArn !== undefined
        ? { topic: Topic.fromTopicArn(service, 'AlarmTopic', deployment.alarmTopicArn) }
        : deployment.alarms,
    logRetention: isDisposable ? RetentionDays.ONE_WEEK : RetentionDays.ONE_MONTH,
  })

  const output = (id: string, value: string, description: string, stack = service) =>
    new CfnOutput(stack, id, { value, description })
  output('HighwaterUrl', highwater.url, 'For `highwater --url`')
  output('HighwaterAuth', deployment.auth.kind, 'What a request must carry: iam, jwt, api-keys or none')
  output('HighwaterBucket', storage.bucket.bucketName, 'Segments', storageStack)
  output('HighwaterTable', storage.table.tableName, 'Heads, rows and items', storageStack)
  if (highwater.functionUrls !== undefined) {
    output('HighwaterProduceUrl', highwater.functionUrls.produce.url, 'Produces bodies larger than the API takes')
    output('HighwaterFetchUrl', highwater.functionUrls.fetch.url, 'Answers larger than the API gives')
  }
  return { storage: storageStack, service, highwater }
}
