/**
 * The HTTP API's authorizer where callers show API keys: one read of one item, and yes or no.
 *
 * The gateway remembers an answer by Authorization header and route for as long as infra/ says (five minutes): a key costs one
 * call per route and five minutes, and a revoked one is refused at that time's end. Nothing is remembered here, which would
 * add to it.
 *
 * What each route asks for is written into the bundle (`authorizeDefine`): with the routes themselves it would be a third
 * larger. Without it, every route asks for admin.
 */
import { DynamoDbMetadata } from '../lib/adapters/aws/dynamodb-metadata.ts'
import { systemClock, systemRandom } from '../lib/adapters/system.ts'
import type { RouteNeeds } from '../lib/core/api-key.ts'
import { createAuthorizer } from '../lib/http/authorizer.ts'
import { ApiKeys } from '../lib/log/api-keys.ts'

declare const HIGHWATER_ROUTE_NEEDS: RouteNeeds | undefined

const { HIGHWATER_TABLE: table, AWS_ENDPOINT_URL: endpoint } = process.env
if (table === undefined) throw new Error('HIGHWATER_TABLE is not set')

const metadata = new DynamoDbMetadata({
  table,
  ...(endpoint === undefined ? {} : { endpoint }),
  // Somebody waits, and the function has five seconds: better an error than none.
  requestTimeoutMs: 1_500,
})
// A read is sent again by the SDK; what then still fails is an error.
const keys = new ApiKeys({ metadata, clock: systemClock, random: systemRandom, persist: (work) => work() }, 0)

export const handler = createAuthorizer(keys, typeof HIGHWATER_ROUTE_NEEDS === 'undefined' ? {} : HIGHWATER_ROUTE_NEEDS)
