import { logConformance } from '../conformance/log.ts'
import { newBucket, newTable, pairs } from './stores.ts'

for (const { s3, dynamodb } of pairs)
  logConformance(`S3 on ${s3.name}, DynamoDB on ${dynamodb.name}`, async () => {
    const [bucket, table] = await Promise.all([newBucket(s3), newTable(dynamodb)])
    return {
      objects: bucket.open(),
      metadata: table.open(),
      close: async () => {
        await Promise.all([bucket.delete(), table.delete()])
      },
    }
  })
