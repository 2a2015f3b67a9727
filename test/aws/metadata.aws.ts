import { metadataConformance } from '../conformance/metadata.ts'
import { engines, newTable, shared } from './stores.ts'

for (const engine of engines.dynamodb) {
  const table = shared(() => newTable(engine))
  metadataConformance(`DynamoDB on ${engine.name}`, async () => {
    const metadata = (await table()).open()
    return { metadata, close: async () => metadata.close() }
  })
}
