import { logConformance } from '../conformance/log.ts'
import { engines, newBucket, newTable, shared } from './stores.ts'

for (const s3 of engines.s3) {
  const bucket = shared(() => newBucket(s3))
  for (const dynamodb of engines.dynamodb)
    logConformance(`S3 on ${s3.name}, DynamoDB on ${dynamodb.name}`, async () => {
      // A table for each test, since names of topics are shared in one; objects have names that nobody else has.
      const table = await newTable(dynamodb)
      const objects = (await bucket()).open()
      return {
        objects,
        metadata: table.open(),
        close: async () => {
          objects.close()
          await table.delete()
        },
      }
    })
}
