/** The OpenAPI 3.1 document, generated from the tables that are served. */
import { errorCatalogue } from '../core/errors.ts'
import { jsonType } from './replies.ts'
import {
  type JsonSchema,
  needOf,
  type OpenApiMedia,
  type OpenApiOperation,
  type OpenApiParameter,
  type OpenApiResponse,
  type Route,
} from './route.ts'

/** @param version of Highwater */
export function describeRoutes(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {}
  const tags = new Set<string>()
  for (const [path, served] of groupBy(routes, (route) => placeOf(route).path)) {
    const item: Record<string, unknown> = {}
    for (const [method, shared] of groupBy(served, (route) => route.method))
      item[method.toLowerCase()] = describeOperation(path, shared)
    for (const { operation } of served) for (const tag of operation.tags) tags.add(tag)
    const servers = new Set(served.flatMap((route) => placeOf(route).servers))
    if (servers.size > 1) item.servers = [...servers].map((url) => ({ url }))
    paths[path] = item
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Highwater',
      version,
      summary: 'A serverless, Kafka-style log on object storage, over plain HTTP',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: { schemas: { Error: errorSchema }, responses: { Error: errorResponse }, securitySchemes },
  }
}

/**
 * The path as the document names it, and what may stand before it: `/v3/clusters` on `/` and `/kafka`, for a route under
 * `/v3` and `/kafka/v3`.
 */
function placeOf({ prefixes = [''], path }: Route): { path: string; servers: readonly string[] } {
  const [first = ''] = prefixes
  const before = prefixes.map((prefix) => {
    if (!prefix.endsWith(first)) throw new Error(`the prefix ${prefix} does not end in ${first}`)
    return prefix.slice(0, prefix.length - first.length) || '/'
  })
  return { path: first + path, servers: before }
}

/** Routes that share a method and a path are one operation to OpenAPI, with the media types of all. */
function describeOperation(path: string, shared: readonly Route[]): object {
  // The route that takes every media type names the operation.
  const operations = [...shared]
    .sort((a, b) => Number(a.mediaTypes !== undefined) - Number(b.mediaTypes !== undefined))
    .map((route) => route.operation)
  const [first, ...others] = operations
  if (first === undefined) throw new Error(`no operation for ${path}`)
  const description = [first.description, ...others.map((other) => `${other.summary}. ${other.description ?? ''}`)]
    .filter((text) => text !== undefined)
    .join('\n\n')
    .trim()
  const bodies = operations.flatMap((operation) => operation.requestBody ?? [])
  return {
    operationId: first.operationId,
    summary: first.summary,
    ...(description === '' ? {} : { description }),
    tags: [...new Set(operations.flatMap((operation) => operation.tags))],
    parameters: describeParameters(path, operations),
    ...(bodies.length === 0
      ? {}
      : {
          requestBody: {
            ...bodies[0],
            content: Object.assign({}, ...bodies.map((body) => body.content)) as Record<string, OpenApiMedia>,
          },
        }),
    responses: { ...mergeResponses(operations), default: { $ref: '#/components/responses/Error' } },
    security: securityOf(shared),
  }
}

/**
 * Which of them a deployment asks for is its own affair (docs/authentication.md): hence each, and none. The roles are what an
 * API key has to allow.
 */
function securityOf([route]: readonly Route[]): object[] {
  const need = route === undefined ? 'admin' : needOf(route)
  if (need === 'anybody') return []
  const roles = need === 'any-key' ? [] : [need]
  return [{ bearer: roles }, { basic: roles }, { aws: [] }, {}]
}

const securitySchemes = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key, `<id>.<secret>`; with a deployment that takes tokens of an issuer, such a token.',
  },
  basic: {
    type: 'http',
    scheme: 'basic',
    description:
      'The same API key for clients that know users and passwords only: its id is the user, its secret the password.',
  },
  aws: {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description:
      'A request that is signed with AWS credentials (Signature Version 4, service `execute-api`, or `lambda` for a function URL).',
    'x-amazon-apigateway-authtype': 'awsSigv4',
  },
} as const

function describeParameters(path: string, operations: readonly OpenApiOperation[]): OpenApiParameter[] {
  const parameters = new Map<string, OpenApiParameter>()
  for (const [, name] of path.matchAll(/\{([a-z_]+)\}/g))
    parameters.set(`path ${name}`, {
      name: name!,
      in: 'path',
      required: true,
      schema: name === 'partition' ? { type: 'integer', minimum: 0 } : { type: 'string', minLength: 1 },
    })
  for (const parameter of operations.flatMap((operation) => operation.parameters ?? []))
    parameters.set(
      `${parameter.in} ${parameter.name.toLowerCase()}`,
      parameter.in === 'path' ? { ...parameter, required: true } : parameter,
    )
  return [...parameters.values()]
}

function mergeResponses(operations: readonly OpenApiOperation[]): Record<string, OpenApiResponse> {
  const merged: Record<string, OpenApiResponse> = {}
  for (const { responses } of operations)
    for (const [status, response] of Object.entries(responses)) {
      const known = merged[status]
      merged[status] =
        known === undefined
          ? response
          : {
              ...known,
              headers: { ...known.headers, ...response.headers },
              content: { ...known.content, ...response.content },
            }
    }
  return merged
}

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['error_code', 'message'],
  properties: {
    error_code: {
      type: 'integer',
      description: 'As in the Kafka REST conventions; the first three digits are the status.',
      enum: [...new Set(Object.values(errorCatalogue).map((entry) => entry.restCode))].sort(
        (a, b) => Number(String(a).slice(0, 3)) - Number(String(b).slice(0, 3)) || a - b,
      ),
    },
    message: { type: 'string' },
  },
}

const errorResponse: OpenApiResponse = {
  description: 'Refused or failed',
  headers: {
    'Highwater-Error': {
      description: 'The code in the catalogue of errors',
      schema: { type: 'string', enum: Object.keys(errorCatalogue) },
    },
    'Retry-After': { description: 'Seconds', schema: { type: 'integer' } },
    'X-Request-Id': { schema: { type: 'string' } },
  },
  content: { [jsonType]: { schema: { $ref: '#/components/schemas/Error' } } },
}

function groupBy<Value>(values: readonly Value[], keyOf: (value: Value) => string): Map<string, Value[]> {
  const groups = new Map<string, Value[]>()
  for (const value of values) {
    const group = groups.get(keyOf(value))
    if (group === undefined) groups.set(keyOf(value), [value])
    else group.push(value)
  }
  return groups
}
