/** API keys over HTTP. Highwater's own face: the Kafka REST conventions have none for this. */
import { type ApiKey, apiKeyNameLengthMax, type NewApiKey, type Work, works } from '../core/api-key.ts'
import { refusal } from '../core/errors.ts'
import { emptyReply, jsonReply, jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, Route, RouteContext } from './route.ts'
import { type Parsed, shown } from './v2-embedded.ts'
import { optionalField, readFields } from './v3-requests.ts'

const tags = ['API keys']

async function parseNewKey(context: RouteContext): Promise<Parsed<NewApiKey>> {
  const body = await readFields(context, ['name', 'allow', 'expires_ms'])
  if (!body.ok) return body
  const name = optionalField(body.value, 'name', 'string')
  if (!name.ok) return name
  if (name.value === undefined) return refusal('INVALID_PAYLOAD', 'name is required.')
  const { allow } = body.value
  if (!Array.isArray(allow)) return refusal('INVALID_REQUEST', `allow must be an array, not ${shown(allow ?? null)}.`)
  const expires = optionalField(body.value, 'expires_ms', 'number')
  if (!expires.ok) return expires
  return {
    ok: true,
    value: {
      name: name.value,
      // The log checks what they are.
      allow: allow as Work[],
      ...(expires.value === undefined ? {} : { expiresMs: expires.value }),
    },
  }
}

function described({ id, name, allow, createdMs, expiresMs }: ApiKey): object {
  return { id, name, allow, created_ms: createdMs, expires_ms: expiresMs ?? null }
}

const nameSchema: JsonSchema = { type: 'string', minLength: 1, maxLength: apiKeyNameLengthMax }
const allowSchema: JsonSchema = { type: 'array', minItems: 1, uniqueItems: true, items: { enum: works } }
const keyProperties: Readonly<Record<string, JsonSchema>> = {
  id: { type: 'string' },
  name: nameSchema,
  allow: allowSchema,
  created_ms: { type: 'integer' },
  expires_ms: { type: ['integer', 'null'], description: 'Milliseconds since 1970; null: never' },
}
const keySchema: JsonSchema = { type: 'object', required: Object.keys(keyProperties), properties: keyProperties }
const createdSchema: JsonSchema = {
  type: 'object',
  required: [...Object.keys(keyProperties), 'key'],
  properties: { ...keyProperties, key: { type: 'string', description: '`<id>.<secret>`; never answered again' } },
}

export const apiKeyRoutes: readonly Route[] = [
  {
    work: 'admin',
    method: 'POST',
    path: '/api-keys',
    operation: {
      operationId: 'createApiKey',
      summary: 'Create an API key',
      description: 'The answer is the only place where its secret ever stands.',
      tags,
      requestBody: {
        required: true,
        content: {
          [jsonType]: {
            schema: {
              type: 'object',
              required: ['name', 'allow'],
              properties: { name: nameSchema, allow: allowSchema, expires_ms: { type: ['integer', 'null'] } },
              additionalProperties: false,
            },
            example: { name: 'order service', allow: ['produce'] },
          },
        },
      },
      responses: { 201: { description: 'The key', content: { [jsonType]: { schema: createdSchema } } } },
    },
    async handle(context) {
      const request = await parseNewKey(context)
      if (!request.ok) return refusalReply(request)
      const created = await context.log.createApiKey(request.value)
      if (!created.ok) return refusalReply(created)
      const location = `${context.baseUrl}/api-keys/${created.key.id}`
      return jsonReply(201, { ...described(created.key), key: created.token }, { location })
    },
  },
  {
    work: 'admin',
    method: 'GET',
    path: '/api-keys',
    operation: {
      operationId: 'listApiKeys',
      summary: 'The API keys, without their secrets',
      description: 'Keys that were revoked are not among them.',
      tags,
      responses: {
        200: {
          description: 'The keys, by id',
          content: {
            [jsonType]: {
              schema: { type: 'object', required: ['data'], properties: { data: { type: 'array', items: keySchema } } },
            },
          },
        },
      },
    },
    handle: async (context) => jsonReply(200, { data: (await context.log.listApiKeys()).map(described) }),
  },
  {
    work: 'admin',
    method: 'DELETE',
    path: '/api-keys/{key_id}',
    operation: {
      operationId: 'revokeApiKey',
      summary: 'Revoke an API key',
      description:
        'For ever. This server refuses it at once, others within seconds, a gateway when what it has cached of it ends: at most five minutes.',
      tags,
      responses: { 204: { description: 'Revoked, now or before' } },
    },
    async handle(context) {
      const revoked = await context.log.revokeApiKey(context.params.key_id ?? '')
      return revoked.ok ? emptyReply(204) : refusalReply(revoked)
    },
  },
]
