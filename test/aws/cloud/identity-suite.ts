/** Who may call a stack with auth=iam: whose signature is right, and whom a policy lets. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { caller, newUser, signing } from './caller.ts'
import type { Cloud } from './cloud.ts'
import type { Stack } from './stack.ts'

const records = {
  headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
  body: JSON.stringify({ records: [{ value: 'who am I' }] }),
}

export function identitySuite(given: () => { readonly cloud: Cloud; readonly stack: Stack }): void {
  describe('a stack that asks for signatures', () => {
    test('refuses who does not sign, who is not known, and whose secret is wrong', async (t) => {
      const { cloud, stack } = given()
      assert.equal(stack.auth, 'iam', 'what a stack without arguments asks for')
      const unsigned = await caller(stack).send('GET', '/topics')
      if (unsigned.status === 200) return t.skip('this cloud lets everybody in')
      assert.equal(unsigned.status, 403)
      const user = await newUser(cloud, stack, 'wrong', ['*'])
      for (const credentials of [
        { ...user, secretAccessKey: `${user.secretAccessKey.slice(1)}x` },
        { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
      ])
        assert.equal((await caller(stack, signing(cloud, credentials)).send('GET', '/topics')).status, 403)
      assert.equal((await caller(stack, signing(cloud, user)).send('GET', '/topics')).status, 200)
    })

    test('lets a user do what a policy names, through the client, and nothing else', async (t) => {
      const { cloud, stack } = given()
      if ((await caller(stack).send('GET', '/topics')).status === 200) return t.skip('this cloud lets everybody in')
      const owner = caller(stack, signing(cloud, cloud.credentials))
      await owner.client().admin.createTopic('guarded', { partitions: 1 })
      const writer = caller(stack, signing(cloud, await newUser(cloud, stack, 'writer', ['POST/topics/*'])))
      const reader = caller(stack, signing(cloud, await newUser(cloud, stack, 'reader', ['GET/topics/*'])))
      assert.equal((await writer.send('POST', '/topics/guarded', records)).status, 200)
      assert.equal((await reader.send('GET', '/topics/guarded/partitions/0/records?offset=0')).json.length, 1)
      assert.equal((await writer.send('GET', '/topics/guarded/partitions/0/records?offset=0')).status, 403)
      assert.equal((await reader.send('POST', '/topics/guarded', records)).status, 403)
      assert.equal((await reader.send('DELETE', '/v3/clusters/x/topics/guarded')).status, 403)
    })
  })
}
