/** Who is let in to a Web Function: its endpoint, its server, and what its role may ask for have to fit. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Contexts, synthesise } from './synthesis.ts'

function webOf(contexts: Contexts) {
  const resources = Object.values(synthesise({ compute: 'web', ...contexts }).resources)
  const propertiesOf = (type: string) => resources.find(({ Type }) => Type === type)!.Properties
  return {
    endpoint: propertiesOf('AWS::Lambda::WebFunctionEndpoint').AuthType as string,
    requireKeys: propertiesOf('AWS::Lambda::WebFunctionRevision').ServiceConfig.EnvironmentVariables
      .HIGHWATER_REQUIRE_KEYS as string | undefined,
  }
}

describe('a Web Function', () => {
  it('checks signatures at its endpoint, and asks for nothing else', () => {
    assert.deepEqual(webOf({}), { endpoint: 'IamAuth', requireKeys: undefined })
  })
  it('that lets everybody come to its server has one that asks for API keys', () => {
    assert.deepEqual(webOf({ auth: 'api-keys' }), { endpoint: 'ApplicationManaged', requireKeys: 'true' })
  })
  it('lets everybody in where that was asked for by name', () => {
    assert.deepEqual(webOf({ auth: 'none' }), { endpoint: 'ApplicationManaged', requireKeys: undefined })
  })
})
