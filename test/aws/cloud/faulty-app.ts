/** A CDK app of the tests: a stack whose produce function is the faulty one, and which lets everybody in. */
import { App, CfnOutput, Stack } from 'aws-cdk-lib'
import { Highwater } from '../../../infra/highwater.ts'
import { HighwaterStorage } from '../../../infra/storage.ts'
import { faultyStackName, killsVariable } from './kills.ts'

const app = new App()
const stack = new Stack(app, faultyStackName)
const storage = new HighwaterStorage(stack, 'Storage')
const highwater = new Highwater(stack, 'Log', {
  storage,
  auth: { kind: 'none' },
  alarms: false,
  dashboard: false,
  // What a local AWS does not know.
  savedQueries: false,
  functions: {
    produce: {
      entry: `${import.meta.dirname}/faulty-produce.ts`,
      environment: { [killsVariable]: process.env[killsVariable] ?? '' },
    },
  },
})
for (const [id, value] of Object.entries({
  HighwaterUrl: highwater.url,
  HighwaterAuth: 'none',
  HighwaterBucket: storage.bucket.bucketName,
  HighwaterTable: storage.table.tableName,
}))
  new CfnOutput(stack, id, { value })
