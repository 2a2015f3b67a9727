/** The authorizer as it is deployed: one file, with what the routes ask for in it, over DynamoDB's protocol. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { esbuildOptions, esbuildOptionsOf } from '../../infra/bundling.ts'
import { encodeItem } from '../../lib/adapters/aws/dynamodb-attributes.ts'
import { MemoryMetadata } from '../../lib/adapters/memory.ts'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import type { AuthorizerAnswer, AuthorizerEvent } from '../../lib/http/authorizer.ts'
import { ApiKeys } from '../../lib/log/api-keys.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the bundle of the authorizer', () => {
  const metadata = new MemoryMetadata()
  const keys = new ApiKeys({ metadata, clock: systemClock, random: systemRandom, persist: (work) => work() })
  const asked: { action: string; key: unknown; consistent: unknown }[] = []
  let isDown = false
  /** What DynamoDB answers to GetItem. */
  const table = createServer(async (request, response) => {
    const said = (await json(request)) as { Key: { pk: { S: string }; sk: { S: string } }; ConsistentRead?: boolean }
    asked.push({ action: String(request.headers['x-amz-target']), key: said.Key, consistent: said.ConsistentRead })
    response.setHeader('content-type', 'application/x-amz-json-1.0')
    if (isDown) {
      response.statusCode = 500
      response.end('{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}')
      return
    }
    const item = await metadata.get({ collection: said.Key.pk.S, sort: said.Key.sk.S })
    response.end(JSON.stringify(item === undefined ? {} : { Item: encodeItem({ op: 'put', ...item, if: 'absent' }) }))
  })
  let directory = ''
  let handler: (event: AuthorizerEvent) => Promise<AuthorizerAnswer>
  let file = ''
  const kept = { ...process.env }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-authorize-'))
    file = join(directory, 'authorize.mjs')
    await build({
      ...esbuildOptionsOf('authorize'),
      outfile: file,
      logLevel: 'silent',
    })
    await new Promise<void>((resolve) => table.listen(0, '127.0.0.1', resolve))
    Object.assign(process.env, {
      HIGHWATER_TABLE: 'the-table',
      AWS_ENDPOINT_URL: `http://127.0.0.1:${(table.address() as AddressInfo).port}`,
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    })
    ;({ handler } = (await import(pathToFileURL(file).href)) as { handler: typeof handler })
  })
  after(async () => {
    process.env = kept
    table.closeAllConnections()
    table.close()
    await rm(directory, { recursive: true })
  })

  const ask = (routeKey: string, key: string) => handler({ routeKey, headers: { authorization: `Bearer ${key}` } })

  it('knows what each route asks for, and answers with one consistent read', async () => {
    const made = await keys.create({ name: 'n', allow: ['produce'] })
    assert.ok(made.ok)
    asked.length = 0
    assert.deepEqual(await ask('POST /topics/{topic}', made.token), {
      isAuthorized: true,
      context: { keyId: made.key.id },
    })
    assert.deepEqual(asked, [
      {
        action: 'DynamoDB_20120810.GetItem',
        key: { pk: { S: 'api-keys' }, sk: { S: made.key.id } },
        consistent: true,
      },
    ])
    assert.equal((await ask('GET /v3/clusters', made.token)).isAuthorized, true)
    assert.equal((await ask('POST /api-keys', made.token)).isAuthorized, false)
    assert.equal((await ask('$default', made.token)).isAuthorized, false)
  })

  it('reads nothing for what is no key', async () => {
    asked.length = 0
    assert.equal((await ask('POST /topics/{topic}', 'none')).isAuthorized, false)
    assert.deepEqual(asked, [])
  })

  it('fails where the table does not answer, and lets nobody in', async () => {
    isDown = true
    await assert.rejects(ask('POST /topics/{topic}', `hw1.${'a'.repeat(43)}`), /GetItem/)
    isDown = false
  })

  it('is small: the SDK and little else', async () => {
    const bare = join(directory, 'bare.mjs')
    await build({
      ...esbuildOptions,
      stdin: {
        contents: `import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
          export const handler = () => new DynamoDBClient({}).send(new GetItemCommand({ TableName: 't', Key: {} }))`,
        resolveDir: root,
      },
      outfile: bare,
      logLevel: 'silent',
    })
    const aboveBytes = (await stat(file)).size - (await stat(bare)).size
    assert.ok(aboveBytes < 50_000, `${aboveBytes} bytes above a bundle of the client alone`)
  })
})
