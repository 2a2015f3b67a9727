import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { systemRandom } from '../../lib/adapters/system.ts'
import {
  type ApiKeyItem,
  authorizationLengthMax,
  checkNewKey,
  formatKey,
  isSameText,
  judgeKey,
  type Need,
  needOfRouteKey,
  newKeyId,
  newSecret,
  parseAuthorization,
  parseKey,
  routeNeedsOf,
  works,
} from '../../lib/core/api-key.ts'

const keyId = 'hw0123456789abcdef'
const secret = 'abcdefghijklmnopqrstuvwxyz-_ABCDEFGHIJKLMNO'
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('a key', () => {
  it('has an id and a secret of 32 random bytes, in characters that need no encoding anywhere', () => {
    const ids = new Set<string>()
    for (let count = 0; count < 200; count++) {
      const fresh = { keyId: newKeyId(systemRandom), secret: newSecret(systemRandom) }
      assert.match(fresh.keyId, /^hw[0-9a-z]{16}$/)
      assert.equal(Buffer.from(fresh.secret, 'base64url').length, 32)
      assert.equal(Buffer.from(fresh.secret, 'base64url').toString('base64url'), fresh.secret)
      assert.deepEqual(parseKey(formatKey(fresh)), fresh)
      ids.add(fresh.keyId).add(fresh.secret)
    }
    assert.equal(ids.size, 400)
  })

  it('uses all of its characters alike', () => {
    const counts = new Map<string, number>()
    for (let count = 0; count < 500; count++)
      for (const character of newSecret(systemRandom).slice(0, 42))
        counts.set(character, (counts.get(character) ?? 0) + 1)
    assert.equal(counts.size, 64)
    // 328 of each on average, with a deviation of 18.
    for (const [character, count] of counts) assert.ok(count > 200 && count < 460, `${character}: ${count}`)
  })
})

describe('an Authorization header', () => {
  it('shows a key as Bearer or as user and password of Basic, whatever the case of these words', () => {
    for (const header of [
      `Bearer ${keyId}.${secret}`,
      `bearer ${keyId}.${secret}`,
      `BEARER   ${keyId}.${secret}`,
      basic(`${keyId}:${secret}`),
      basic(`${keyId}:${secret}`).replace('Basic', 'basic'),
    ])
      assert.deepEqual(parseAuthorization(header), { keyId, secret }, header)
  })

  const malformed: Record<string, string | null | undefined> = {
    'that is missing': null,
    'that is not there': undefined,
    'that is empty': '',
    'without a scheme': `${keyId}.${secret}`,
    'of another scheme': `Digest ${keyId}.${secret}`,
    'of a signature': 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/execute-api/aws4_request',
    'without anything behind its scheme': 'Bearer ',
    'with two keys': `Bearer ${keyId}.${secret}, Bearer ${keyId}.${secret}`,
    'with a blank behind it': `Bearer ${keyId}.${secret} x`,
    'without a secret': `Bearer ${keyId}.`,
    'without an id': `Bearer .${secret}`,
    'with a secret that is too short': `Bearer ${keyId}.${secret.slice(1)}`,
    'with a secret that is too long': `Bearer ${keyId}.${secret}a`,
    'with a secret of other characters': `Bearer ${keyId}.${secret.slice(1)}/`,
    'with an id of other characters': `Bearer hw/0.${secret}`,
    'with an id that is too long': `Bearer ${'a'.repeat(65)}.${secret}`,
    'with three parts': `Bearer ${keyId}.${keyId}.${secret}`,
    'of Basic that is no base64': `Basic ${keyId}:${secret}`,
    'of Basic with one letter too few': basic(`${keyId}:${secret}`).replace(/=*$/, '').slice(0, -1),
    'of Basic without a colon': basic(`${keyId}.${secret}`),
    'of Basic with an empty user': basic(`:${secret}`),
    'of Basic with an empty password': basic(`${keyId}:`),
    'of Basic that is no text': `Basic ${Buffer.from([0, 255, 58, 1]).toString('base64')}`,
    'of Basic with a line end in it': basic(`${keyId}:${secret}\n`),
    'that is too long': `Bearer ${' '.repeat(authorizationLengthMax)}${keyId}.${secret}`,
  }
  for (const [what, header] of Object.entries(malformed))
    it(`${what} shows nothing`, () => assert.equal(parseAuthorization(header), undefined))

  it('is looked at up to its greatest length, and not beyond', () => {
    const header = (length: number) => `Bearer ${keyId}.${secret}`.replace(' ', ' '.repeat(length - 68))
    assert.equal(header(authorizationLengthMax).length, authorizationLengthMax)
    assert.deepEqual(parseAuthorization(header(authorizationLengthMax)), { keyId, secret })
    assert.equal(parseAuthorization(header(authorizationLengthMax + 1)), undefined)
  })

  it('of anything at all is a key or nothing, quickly', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 600 }),
        fc.constantFrom('', 'Basic ', 'Bearer '),
        (text, scheme) => {
          const shown = parseAuthorization(scheme + text)
          assert.ok(shown === undefined || /^[\w-]{1,64}$/.test(shown.keyId))
        },
      ),
    )
  })
})

describe('whether two texts are the same', () => {
  it('is answered as by ===', () => {
    const text = fc.string({ maxLength: 5 })
    fc.assert(fc.property(text, text, (a, b) => assert.equal(isSameText(a, b), a === b)))
    fc.assert(fc.property(text, (a) => isSameText(a, a)))
  })
})

describe('what a key may do', () => {
  const item: ApiKeyItem = { name: 'n', secretHash: 'h', allow: ['produce', 'fetch'], createdMs: 1, expiresMs: 100 }
  const code = (verdict: ReturnType<typeof judgeKey>) => (verdict.ok ? 'ok' : verdict.code)

  it('is the works it allows, and what any key may do', () => {
    const allowed = (need: Need) => code(judgeKey(keyId, item, true, need, 50))
    assert.equal(allowed('produce'), 'ok')
    assert.equal(allowed('fetch'), 'ok')
    assert.equal(allowed('any-key'), 'ok')
    assert.equal(allowed('anybody'), 'ok')
    assert.equal(allowed('consume'), 'AUTHORIZATION_FAILED')
    assert.equal(allowed('admin'), 'AUTHORIZATION_FAILED')
  })

  it('is nothing where the secret is wrong, there is no such key, it was revoked, or its time is over (A1)', () => {
    for (const need of [...works, 'any-key'] as const) {
      assert.equal(code(judgeKey(keyId, item, false, need, 50)), 'AUTHENTICATION_FAILED')
      assert.equal(code(judgeKey(keyId, undefined, true, need, 50)), 'AUTHENTICATION_FAILED')
      assert.equal(code(judgeKey(keyId, { ...item, revokedMs: 2 }, true, need, 50)), 'AUTHENTICATION_FAILED')
      assert.equal(code(judgeKey(keyId, item, true, need, 100)), 'AUTHENTICATION_FAILED')
    }
    assert.equal(code(judgeKey(keyId, item, true, 'produce', 99)), 'ok')
  })

  it('is told to those only who know the secret', () => {
    const strangers = [
      judgeKey(keyId, undefined, false, 'admin', 50),
      judgeKey(keyId, item, false, 'admin', 50),
      judgeKey(keyId, item, false, 'admin', 500),
      judgeKey(keyId, { ...item, revokedMs: 2 }, false, 'admin', 50),
    ]
    for (const verdict of strangers) assert.deepEqual(verdict, strangers[0])
  })

  it('never shows the hash', () => {
    const verdict = judgeKey(keyId, item, true, 'fetch', 50)
    assert.ok(verdict.ok)
    assert.deepEqual(verdict.key, { id: keyId, name: 'n', allow: ['produce', 'fetch'], createdMs: 1, expiresMs: 100 })
  })
})

describe('a new key', () => {
  const wrong = (change: object) => checkNewKey({ name: 'orders', allow: ['produce'], ...change }, 1_000)
  it('has a name, works and a time to come', () => {
    assert.equal(wrong({}), undefined)
    assert.equal(wrong({ name: 'a' }), undefined)
    assert.equal(wrong({ name: 'Größe 3, of the “shop”' }), undefined)
    assert.equal(wrong({ name: 'a'.repeat(100) }), undefined)
    assert.equal(wrong({ allow: [...works], expiresMs: 1_001 }), undefined)
  })
  it('has no empty, long, blank or unprintable name', () => {
    for (const name of ['', 'a'.repeat(101), ' a', 'a ', ' ', 'a\nb', '\u0000', 'a\u202eb'])
      assert.match(wrong({ name }) ?? '', /name/, JSON.stringify(name))
  })
  it('allows nothing that is no work, and nothing twice', () => {
    for (const allow of [[], ['all'], ['any-key'], ['produce', 'produce'], [1], [null]])
      assert.match(wrong({ allow }) ?? '', /allows one or more of/, JSON.stringify(allow))
  })
  it('does not begin expired', () => {
    for (const expiresMs of [1_000, 0, -1, 2_000.5, Number.POSITIVE_INFINITY, Number.NaN])
      assert.match(wrong({ expiresMs }) ?? '', /expires/, String(expiresMs))
  })
})

describe('what the routes of a gateway ask for', () => {
  it('is what the table says, and admin for whatever is not in it', () => {
    const needs = routeNeedsOf([
      { routeKey: 'POST /topics/{topic}', need: 'produce' },
      { routeKey: 'GET /topics/{topic}', need: 'any-key' },
      { routeKey: 'DELETE /topics/{topic}', need: 'admin' },
    ])
    assert.deepEqual(needs, { produce: ['POST /topics/{topic}'], 'any-key': ['GET /topics/{topic}'] })
    assert.equal(needOfRouteKey(needs, 'POST /topics/{topic}'), 'produce')
    assert.equal(needOfRouteKey(needs, 'GET /topics/{topic}'), 'any-key')
    assert.equal(needOfRouteKey(needs, 'HEAD /topics/{topic}'), 'any-key')
    assert.equal(needOfRouteKey(needs, 'DELETE /topics/{topic}'), 'admin')
    assert.equal(needOfRouteKey(needs, '$default'), 'admin')
    assert.equal(needOfRouteKey({}, 'POST /topics/{topic}'), 'admin')
  })
})
