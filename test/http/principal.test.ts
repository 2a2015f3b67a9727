import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { principalOf } from '../../lib/http/principal.ts'

describe('the principal of a request through a gateway', () => {
  it('of an IAM user is the user, by account and unique id', () => {
    const iam = {
      accessKey: 'AKIDEXAMPLE',
      accountId: '123456789012',
      callerId: 'AIDACKCEVSQ6C2EXAMPLE',
      cognitoIdentity: null,
      principalOrgId: 'o-1',
      userArn: 'arn:aws:iam::123456789012:user/anna',
      userId: 'AIDACKCEVSQ6C2EXAMPLE',
    }
    assert.equal(principalOf({ iam }), 'iam:123456789012:AIDACKCEVSQ6C2EXAMPLE')
  })
  it('of a role is the role, whatever the session', () => {
    const role = (session: string) => principalOf({ iam: { accountId: '1', userId: `AROAEXAMPLE:${session}` } })
    assert.equal(role('i-0abc'), 'iam:1:AROAEXAMPLE')
    assert.equal(role('other:with:colons'), role('i-0abc'))
  })
  it('of a token is issuer and subject, or the program where there is no subject', () => {
    assert.equal(principalOf({ jwt: { claims: { iss: 'https://id.test', sub: 'anna' } } }), 'jwt:https://id.test|anna')
    assert.equal(principalOf({ jwt: { claims: { iss: 'https://id.test', client_id: 'c' } } }), 'jwt:https://id.test|c')
  })
  it('of an API key is the key, by the context of our authorizer', () => {
    assert.equal(principalOf({ lambda: { keyId: 'hw1' } }), 'key:hw1')
  })
  it('is nobody where nobody is asked', () => {
    for (const authorizer of [
      undefined,
      null,
      {},
      { iam: null },
      { jwt: { claims: {} } },
      { lambda: null },
      { lambda: { keyId: 7 } },
    ])
      assert.equal(principalOf(authorizer), undefined)
    assert.equal(principalOf({ iam: { accountId: '1', userId: '' } }), undefined)
  })
})
