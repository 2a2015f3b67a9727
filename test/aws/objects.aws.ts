import { objectsConformance } from '../conformance/objects.ts'
import { engines, newBucket, shared } from './stores.ts'

for (const engine of engines.s3) {
  const bucket = shared(() => newBucket(engine))
  objectsConformance(`S3 on ${engine.name}`, async () => {
    const objects = (await bucket()).open()
    return { objects, close: async () => objects.close() }
  })
}
