/** What a server says about itself: that it is there, and its health. */
import { Unavailable } from '../core/errors.ts'
import { jsonReply } from './replies.ts'
import type { JsonSchema, OpenApiResponse, Route, RouteContext } from './route.ts'

/** How long a health check waits for the metadata store before it says no. */
const readyWaitMsMax = 2_000

const healthSchema: JsonSchema = {
  type: 'object',
  required: ['live'],
  properties: { live: { const: true }, ready: { type: 'boolean' } },
}

export const serverRoutes: readonly Route[] = [
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/',
    operation: {
      operationId: 'getRoot',
      summary: 'An empty object: how clients of the REST Proxy look whether it is there',
      tags: ['Kafka REST v2'],
      responses: { 200: { description: 'It is', content: { 'application/json': { schema: { const: {} } } } } },
    },
    handle: async () => jsonReply(200, {}),
  },
  {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/health',
    operation: {
      operationId: 'getHealth',
      summary: 'Whether the server can do its work',
      tags: ['Server'],
      responses: {
        200: health('The metadata store answers'),
        503: health('The metadata store cannot be reached'),
      },
    },
    async handle(context) {
      const ready = await isReady(context)
      return jsonReply(ready ? 200 : 503, { live: true, ready })
    },
  },
  {
    work: 'admin',
    access: 'anybody',
    method: 'GET',
    path: '/health/live',
    operation: {
      operationId: 'getHealthLive',
      summary: 'Whether the process answers',
      tags: ['Server'],
      responses: { 200: health('It does') },
    },
    handle: async () => jsonReply(200, { live: true }),
  },
]

function health(description: string): OpenApiResponse {
  return { description, content: { 'application/json': { schema: healthSchema } } }
}

/** No topic can have this name's place: what counts is that the store answers, not what. */
async function isReady({ log }: RouteContext): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), readyWaitMsMax)
  })
  const reached = log.clusterId().then(
    () => true,
    (error: unknown) => {
      if (error instanceof Unavailable) return false
      throw error
    },
  )
  try {
    return await Promise.race([reached, late])
  } finally {
    clearTimeout(timer)
  }
}
