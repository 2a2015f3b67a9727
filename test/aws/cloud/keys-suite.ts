/** A stack with auth=api-keys: a key is made on the table by the command line, and what it may not do is refused. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { runHighwater } from '../../e2e/server-process.ts'
import { type Caller, caller } from './caller.ts'
import type { Cloud } from './cloud.ts'
import { deploy, type Stack } from './stack.ts'

const records = {
  headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
  body: JSON.stringify({ records: [{ value: 1 }] }),
}

export function keysSuite(given: () => { readonly cloud: Cloud; readonly directory: string }): void {
  describe('a stack that asks for API keys', () => {
    let stack: Stack
    before(async () => {
      const { cloud, directory } = given()
      const contexts = { stage: 'keys', auth: 'api-keys', dashboard: 'false' }
      stack = await deploy(cloud, directory, contexts, { stackName: 'Highwater-keys' })
    })

    const keys = async (...parameters: string[]): Promise<string> => {
      const { cloud } = given()
      const ended = await runHighwater(['keys', ...parameters, '--table', stack.table], {
        env: {
          AWS_ENDPOINT_URL: cloud.endpoint,
          AWS_REGION: cloud.region,
          AWS_ACCESS_KEY_ID: cloud.credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: cloud.credentials.secretAccessKey,
        },
      })
      assert.equal(ended.code, 0, ended.stderr)
      return ended.stdout.trim()
    }
    const bearer = (key: string): Caller => caller(stack, () => ({ authorization: `Bearer ${key}` }))

    test('lets a key do what it allows, shown either way, and refuses everybody else', async () => {
      assert.equal(stack.auth, 'api-keys')
      const [everything, producing, revoked] = [
        await keys('create', 'everything', '--allow', 'produce,fetch,consume,admin'),
        await keys('create', 'producing', '--allow', 'produce'),
        await keys('create', 'revoked', '--allow', 'produce,fetch,consume,admin'),
      ]
      await keys('revoke', revoked)
      const owner = bearer(everything)
      await owner.client().admin.createTopic('guarded', { partitions: 1 })
      assert.equal((await bearer(producing).send('POST', '/topics/guarded', records)).status, 200)
      const [id, secret] = everything.split('.')
      const basic = caller(stack, () => ({
        authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
      }))
      const read = '/topics/guarded/partitions/0/records?offset=0'
      assert.equal((await basic.send('GET', read)).json.length, 1)

      assert.equal((await bearer(producing).send('GET', read)).status, 403)
      assert.equal((await bearer(producing).send('DELETE', '/v3/clusters/x/topics/guarded')).status, 403)
      assert.equal((await bearer(revoked).send('GET', read)).status, 403)
      assert.equal((await bearer(`${id}.${'x'.repeat(secret?.length ?? 0)}`).send('GET', read)).status, 403)
      assert.equal((await caller(stack).send('GET', read)).status, 401)
      assert.equal((await owner.send('GET', read)).json.length, 1)
    })
  })
}
