/**
 * A server that wants API keys, as its users meet it: the first key made before it starts, curl with Bearer and with user and
 * password, Python's standard library, and this project's own command line.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { run, runHighwater, startServerProcess, tempDirectory } from './server-process.ts'

const jsonV2 = 'Content-Type: application/vnd.kafka.json.v2+json'

async function curl(...args: string[]): Promise<{ status: number; body: string }> {
  const { code, stdout, stderr } = await run('curl', ['-sS', '--write-out', '\n%{http_code}', ...args])
  assert.equal(code, 0, stderr)
  const end = stdout.lastIndexOf('\n')
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) }
}

test('a server that wants keys lets in who has one, whatever client that is', async (t) => {
  const data = join(await tempDirectory(t), 'data')
  const early = await runHighwater(['start', '--port', '0', '--data', data, '--require-keys'])
  assert.equal(early.code, 1)
  assert.match(early.stderr, /^highwater: There is no API key yet/)

  const first = await runHighwater(['keys', 'create', 'root', '--allow', 'admin', '--data', data])
  assert.equal(first.code, 0, first.stderr)
  const admin = first.stdout.trim()
  const { url, stop } = await startServerProcess(t, ['--data', data, '--require-keys'])

  const busy = await runHighwater(['keys', 'list', '--data', data])
  assert.equal(busy.code, 1)
  assert.match(busy.stderr, /is in use/)

  const env = { HIGHWATER_URL: url, HIGHWATER_API_KEY: admin }
  assert.equal((await runHighwater(['topics', 'create', 'orders'], { env })).code, 0)
  const made = await runHighwater(['keys', 'create', 'shop', '--allow', 'produce,fetch'], { env })
  const shop = made.stdout.trim()
  const [user = '', password = ''] = shop.split('.')

  await t.test('curl, as Bearer and as user and password', async () => {
    const body = ['-H', jsonV2, '-d', '{"records":[{"value":1}]}', `${url}/topics/orders`]
    assert.deepEqual(await curl(...body), {
      status: 401,
      body: '{"error_code":40101,"message":"This takes an API key, <id>.<secret>: as Authorization: Bearer, or as user and password of Basic."}',
    })
    assert.equal((await curl('-H', `Authorization: Bearer ${shop}`, ...body)).status, 200)
    assert.equal((await curl('-u', `${user}:${password}`, ...body)).status, 200)
    assert.equal((await curl('--anyauth', '-u', `${user}:${password}`, `${url}/topics`)).body, '["orders"]')
    assert.equal(
      (await curl(...body.slice(0, -1), `${url.replace('//', `//${user}:${password}@`)}/topics/orders`)).status,
      200,
    )
    assert.equal((await curl('-u', `${user}:x${password.slice(1)}`, ...body)).status, 401)
    assert.equal(
      (await curl('-u', `${user}:${password}`, '-X', 'DELETE', `${url}/v3/clusters/c/topics/orders`)).status,
      403,
    )
    assert.equal((await curl(`${url}/health/live`)).status, 200)
    // Its body is never taken in, and the answer comes all the same.
    const large = '0'.repeat(2_000_000)
    const refused = await run(
      'curl',
      ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '--data-binary', '@-', `${url}/topics/orders`],
      { input: large },
    )
    assert.equal(refused.stdout, '401', refused.stderr)
  })

  await t.test("Python's standard library, asked for a password first", async () => {
    const script = `
import sys, urllib.request
url, user, password = sys.argv[1:]
passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
passwords.add_password(None, url, user, password)
opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
print(opener.open(url + '/topics').read().decode())
`
    const { code, stdout, stderr } = await run('python3', ['-c', script, url, user, password])
    assert.equal(code, 0, stderr)
    assert.equal(stdout.trim(), '["orders"]')
  })

  await t.test('the command line, with the key in the environment', async () => {
    const env = { HIGHWATER_URL: url, HIGHWATER_API_KEY: shop }
    assert.equal((await runHighwater(['produce', '-t', 'orders', '-q'], { env, input: 'a\n' })).code, 0)
    const read = await runHighwater(['consume', '-t', 'orders', '-e', '-o', '-1'], { env })
    assert.equal(read.stdout, 'a\n')
    const refused = await runHighwater(['topics', 'delete', 'orders'], { env })
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /allows produce, fetch; this takes one that allows admin/)
  })

  await t.test('until it is revoked', async () => {
    const revoked = await runHighwater(['keys', 'revoke', user], { env })
    assert.equal(revoked.stdout, `Revoked API key ${user}.\n`)
    assert.equal((await curl('-u', `${user}:${password}`, `${url}/topics`)).status, 401)
  })

  const { stdout, stderr } = await stop('SIGTERM')
  for (const secret of [password, admin.split('.')[1]!]) assert.ok(!(stdout + stderr).includes(secret))
})
