import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock, systemRandom } from '../../lib/adapters/system.ts'
import type { KeyStorePlace } from '../../lib/cli/io.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { requireKeys } from '../../lib/http/key-guard.ts'
import { ApiKeys } from '../../lib/log/api-keys.ts'
import { createTerminal, noServer } from './terminal.ts'

const keyPattern = /^hw[0-9a-z]{16}\.[\w-]{43}\n$/

/** A terminal before a server that wants keys, with one that allows everything. */
async function createGuarded() {
  const terminal: ReturnType<typeof createTerminal> = createTerminal({
    app: { guard: (request, need) => requireKeys(terminal.log)(request, need) },
  })
  const made = await terminal.log.createApiKey({ name: 'root', allow: ['admin', 'produce', 'fetch'] })
  assert.ok(made.ok)
  return { ...terminal, key: made.token, id: made.key.id }
}

describe('highwater keys', () => {
  it('creates a key and prints it, and nothing else, to standard output', async () => {
    const { run, log } = createTerminal()
    const { code, stdout, stderr } = await run(`keys create 'order service' --allow produce,fetch --allow produce`)
    assert.equal(code, 0, stderr)
    assert.match(stdout, keyPattern)
    const [id = '', secret = ''] = stdout.trim().split('.')
    assert.equal(stderr, `API key ${id} (order service) may be used for produce, fetch; nobody can show it again.\n`)
    assert.ok(!stderr.includes(secret))
    const [key] = await log.listApiKeys()
    assert.deepEqual([key?.id, key?.name, key?.allow], [id, 'order service', ['produce', 'fetch']])
  })

  it('creates keys that end after a time, or at one', async () => {
    const { run, log } = createTerminal()
    const beforeMs = Date.now()
    await run('keys create a --allow fetch --expires 90m')
    await run('keys create b --allow fetch --expires 30d')
    await run('keys create c --allow fetch --expires 2099-01-01')
    const expiries = new Map((await log.listApiKeys()).map((key) => [key.name, key.expiresMs! - beforeMs]))
    assert.ok(Math.abs(expiries.get('a')! - 90 * 60_000) < 60_000)
    assert.ok(Math.abs(expiries.get('b')! - 30 * 86_400_000) < 60_000)
    assert.equal(expiries.get('c')! + beforeMs, Date.UTC(2099, 0, 1))
  })

  it('lists keys without their secrets, as a table and as JSON', async () => {
    const { run } = createTerminal()
    const { stdout: key } = await run('keys create orders --allow produce --expires 2099-01-01')
    const [id = '', secret = ''] = key.trim().split('.')
    const table = (await run('keys list')).stdout
    assert.match(
      table,
      new RegExp(`^ID\tALLOWS\tCREATED\tEXPIRES\tNAME\n${id}\tproduce\t[0-9T:-]{19}\t2099-01-01T00:00:00\torders\n$`),
    )
    const json = (await run('keys list --json')).stdout
    assert.deepEqual(Object.keys((JSON.parse(json) as object[])[0]!), ['id', 'name', 'allow', 'createdMs', 'expiresMs'])
    assert.ok(!(table + json).includes(secret))
  })

  it('revokes keys by their ids, and shows no secret when it is given one', async () => {
    const { run } = createTerminal()
    const { stdout: key } = await run('keys create orders --allow produce')
    const [id = '', secret = ''] = key.trim().split('.')
    const revoked = await run(`keys revoke ${key.trim()}`)
    assert.deepEqual([revoked.code, revoked.stdout], [0, `Revoked API key ${id}.\n`])
    assert.ok(!(revoked.stdout + revoked.stderr).includes(secret))
    assert.equal((await run('keys list')).stdout, 'ID\tALLOWS\tCREATED\tEXPIRES\tNAME\n')
    const missing = await run('keys revoke hwnone')
    assert.deepEqual([missing.code, missing.stderr], [1, 'highwater: There is no API key "hwnone".\n'])
  })

  for (const wrong of [
    'keys create',
    'keys create a',
    'keys create a --allow everything',
    'keys create a --allow produce --expires soon',
    'keys create a --allow produce --table t --data d',
    'keys revoke',
  ])
    it(`is asked wrongly by: ${wrong}`, async () => {
      assert.equal((await createTerminal().run(wrong)).code, 2)
    })

  it('works straight on a store, over no server', async () => {
    const { run, metadata, log } = createTerminal()
    const places: KeyStorePlace[] = []
    let closed = 0
    const given = {
      ...noServer,
      async openKeys(place: KeyStorePlace) {
        places.push(place)
        const host = {
          metadata,
          clock: systemClock,
          random: systemRandom,
          persist: <R>(work: () => Promise<R>) => work(),
        }
        const keys = new ApiKeys(host)
        return {
          create: (request: Parameters<ApiKeys['create']>[0]) => keys.create(request),
          list: () => keys.list(),
          revoke: (id: string) => keys.revoke(id),
          close: async () => void closed++,
        }
      },
    }
    const io = { fetch: () => Promise.reject(new Error('no server was to be asked')) }
    const made = await run('keys create first --allow admin --table T', '', io, given)
    assert.match(made.stdout, keyPattern)
    assert.equal((await log.listApiKeys()).length, 1)
    assert.match((await run('keys list --data D', '', io, given)).stdout, /first/)
    assert.equal((await run(`keys revoke ${made.stdout.trim()} --table T`, '', io, given)).code, 0)
    assert.deepEqual(places, [{ table: 'T' }, { dataDir: 'D' }, { table: 'T' }])
    assert.equal(closed, 3)
  })

  it('says in one sentence why a store cannot be had', async () => {
    const { run } = createTerminal()
    const inUse = Object.assign(new Error('The data directory D is in use.'), { name: 'StartError' })
    const opened = { ...noServer, openKeys: () => Promise.reject(inUse) }
    const { code, stderr } = await run('keys list --data D', '', {}, opened)
    assert.deepEqual([code, stderr], [1, 'highwater: The data directory D is in use.\n'])
    const down = {
      ...noServer,
      openKeys: async () => ({
        create: () => Promise.reject(new Unavailable('DynamoDB GetItem failed', 'none')),
        list: () => Promise.reject(new Unavailable('DynamoDB Query failed: no such table', 'none')),
        revoke: () => Promise.reject(new Unavailable('DynamoDB GetItem failed', 'none')),
        close: async () => {},
      }),
    }
    assert.deepEqual(
      (await run('keys list --table T', '', {}, down)).stderr,
      'highwater: DynamoDB Query failed: no such table\n',
    )
  })
})

describe('who asks', () => {
  it('is the API key of the option, the environment or the URL', async () => {
    const { run, key } = await createGuarded()
    const [user, password] = key.split('.')
    for (const [args, env] of [
      [`topics list --api-key ${key}`, {}],
      [`--api-key ${key} topics list`, {}],
      ['topics list', { HIGHWATER_API_KEY: key }],
      [`topics list --url http://${user}:${password}@log.test`, {}],
      ['topics list', { HIGHWATER_URL: `http://${user}:${password}@log.test/` }],
      [`topics list --http-header 'Authorization: Bearer ${key}'`, {}],
      [`topics list --http-header 'Authorization: Bearer ${key}'`, { HIGHWATER_API_KEY: `hwother.${'a'.repeat(43)}` }],
      [`topics list --api-key ${key}`, { HIGHWATER_AUTH: 'aws' }],
    ] as const) {
      const { code, stderr } = await run(args, '', { env })
      assert.equal(code, 0, `${args} ${JSON.stringify(env)}: ${stderr}`)
    }
  })

  it('is nobody without one, and the server says what is missing', async () => {
    const { run } = await createGuarded()
    const { code, stderr } = await run('topics list')
    assert.equal(code, 1)
    assert.match(stderr, /^highwater: This takes an API key/)
  })

  it('does everything with a key that it does without: create, produce, consume', async () => {
    const { run, key } = await createGuarded()
    const env = { HIGHWATER_API_KEY: key }
    assert.equal((await run('topics create t', '', { env })).code, 0)
    assert.equal((await run('produce -t t', 'a\nb\n', { env })).code, 0)
    assert.equal((await run('consume -t t -e', '', { env })).stdout, 'a\nb\n')
    const weak = await run('keys create w --allow fetch', '', { env })
    const refused = await run('produce -t t', 'c\n', { env: { HIGHWATER_API_KEY: weak.stdout.trim() } })
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /allows fetch; this takes one that allows produce/)
  })

  it('is never shown, whatever is wrong with it', async () => {
    const { run } = await createGuarded()
    const secret = 's'.repeat(44)
    for (const [args, env] of [
      [`topics list --api-key hw1.${secret}`, {}],
      ['topics list', { HIGHWATER_API_KEY: `hw1.${secret}` }],
      [`topics list --url http://hw1:${secret}@log.test`, {}],
      [`topics list --url ftp://hw1:${secret}@log.test`, {}],
      [`topics list --url http://hw1:${secret}@:80:80`, {}],
      [`topics list --api-key hw1.${secret.slice(1)}`, {}],
    ] as const) {
      const { code, stderr, stdout } = await run(args, '', { env })
      assert.ok(code === 1 || code === 2, args)
      assert.ok(!(stderr + stdout).includes('sss'), stderr)
      assert.ok(stderr.startsWith('highwater: '), stderr)
    }
  })

  describe('of AWS', () => {
    const credentials = async () => ({ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret', sessionToken: 'token' })
    const api = 'https://abc.execute-api.eu-west-1.amazonaws.com'

    /** What was sent to authorize the first request. */
    async function sent(
      args: string,
      env: Record<string, string> = {},
      awsCredentials: () => Promise<never> | ReturnType<typeof credentials> = credentials,
    ) {
      const authorizations: (string | null)[] = []
      const { run } = createTerminal()
      const ran = await run(args, '', {
        env,
        awsCredentials,
        fetch: async (_url, init) => {
          authorizations.push(new Headers(init.headers).get('authorization'))
          return new Response('{"message":"Forbidden"}', { status: 403 })
        },
      })
      return { ...ran, authorization: authorizations[0] }
    }
    const scopeOf = (authorization: string | null | undefined) =>
      /Credential=AKIDEXAMPLE\/\d{8}\/(\S+),/.exec(authorization ?? '')?.[1]

    it('signs where the URL is one of AWS, without being told', async () => {
      const forbidden = await sent(`topics list --url ${api}`)
      assert.equal(scopeOf(forbidden.authorization), 'eu-west-1/execute-api/aws4_request')
      assert.match(forbidden.stderr, /status 403: Forbidden \(who asks is said by --api-key or --aws-sign\)/)
      const url = 'https://abc.lambda-url.eu-west-1.on.aws'
      assert.equal(
        scopeOf((await sent('topics list', { HIGHWATER_URL: url })).authorization),
        'eu-west-1/lambda/aws4_request',
      )
      assert.equal((await sent('topics list')).authorization, null)
    })

    it('signs for another URL where it is told to, in the region of the environment', async () => {
      const own = '--url https://log.example.org'
      const region = { AWS_REGION: 'us-east-2' }
      assert.equal(
        scopeOf((await sent(`topics list --aws-sign ${own}`, region)).authorization),
        'us-east-2/execute-api/aws4_request',
      )
      assert.equal(
        scopeOf((await sent(`topics list ${own}`, { HIGHWATER_AUTH: 'aws', ...region })).authorization),
        'us-east-2/execute-api/aws4_request',
      )
      const lost = await sent(`topics list --aws-sign ${own}`)
      assert.deepEqual([lost.code, lost.authorization], [2, undefined])
      assert.match(lost.stderr, /set AWS_REGION/)
    })

    it('does not sign where it is told not to, or somebody else asks', async () => {
      assert.equal((await sent(`topics list --url ${api} --no-aws-sign`)).authorization, null)
      assert.equal((await sent(`topics list --url ${api}`, { HIGHWATER_AUTH: 'none' })).authorization, null)
      const key = `hw1.${'a'.repeat(43)}`
      assert.equal((await sent(`topics list --url ${api} --api-key ${key}`)).authorization, `Bearer ${key}`)
      assert.equal((await sent(`topics list --url ${api}`, { HIGHWATER_API_KEY: key })).authorization, `Bearer ${key}`)
      assert.equal((await sent(`topics list --url ${api} --http-header 'authorization: x'`)).authorization, 'x')
      assert.equal((await sent(`topics list --aws-sign --api-key ${key}`)).code, 2)
      assert.equal((await sent('topics list', { HIGHWATER_AUTH: 'maybe' })).code, 2)
    })

    const none = () => Promise.reject(new Error('Could not load credentials from any providers'))

    it('sends unsigned what nobody asked to be signed, where there are no credentials, and says so once', async () => {
      const { authorization, stderr } = await sent(`topics create a b --url ${api}`, {}, none)
      assert.equal(authorization, null)
      assert.equal(stderr.split('are not signed').length, 2, stderr)
    })

    it('sends nothing where it was to sign and cannot', async () => {
      const { code, authorization, stderr } = await sent(`topics list --aws-sign --url ${api}`, {}, none)
      assert.deepEqual([code, authorization], [1, undefined])
      assert.match(stderr, /Could not load credentials/)
    })
  })
})
