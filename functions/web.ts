/** All routes in one process, for Lambda Web Functions. */
import { awsPorts, readEnvironment } from './environment.ts'
import { Telemetry } from './telemetry.ts'
import { startWebServer } from './web-server.ts'

const environment = readEnvironment(process.env)
const server = await startWebServer(
  {
    ...environment,
    ports: awsPorts(environment),
    telemetry: new Telemetry('web'),
    // With auth=api-keys; then its endpoint lets everybody come this far.
    requireKeys: process.env.HIGHWATER_REQUIRE_KEYS === 'true',
  },
  process.env.AWS_LAMBDA_HTTP_ENDPOINT ?? '',
)
process.once('SIGTERM', async () => {
  await server.close()
  process.exit(0)
})
