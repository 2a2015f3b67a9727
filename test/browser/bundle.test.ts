import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { bundleClient } from './bundle.ts'

/** A page that only wants to read a topic should not notice; the consumer of groups is a third of it, a decoder of zstd a twelfth. */
const bytesMax = 98_304

describe('the client as a bundle for browsers', () => {
  it('is made of lib/client, lib/core and a decoder of zstd alone, needs nothing else to run, and stays small', async (context) => {
    const { code, inputs, imports } = await bundleClient()
    assert.deepEqual(
      inputs.filter((input) => !/^lib\/(client|core)\/[a-z0-9-]+\.ts$/.test(input)),
      ['node_modules/fzstd/esm/index.mjs'],
    )
    assert.deepEqual(imports, [])
    for (const builtIn of [/\bnode:/, /\bBuffer\b/, /\bprocess\./, /\brequire\(/, /\b__dirname\b/])
      assert.doesNotMatch(code, builtIn)
    context.diagnostic(`${code.length} bytes, ${gzipSync(code).length} compressed`)
    assert.ok(code.length < bytesMax, `${code.length} bytes`)
  })

  it('has a signer for AWS beside it, of one package that needs the web only', async (context) => {
    const { code, inputs, imports } = await bundleClient('lib/client/aws.ts')
    const packages = inputs.filter((input) => !/^lib\/(client|core)\/[a-z0-9-]+\.ts$/.test(input))
    assert.deepEqual(packages, ['node_modules/aws4fetch/dist/aws4fetch.esm.mjs'])
    assert.deepEqual(imports, [])
    for (const builtIn of [/\bnode:/, /\bBuffer\b/, /\bprocess\./, /\brequire\(/]) assert.doesNotMatch(code, builtIn)
    context.diagnostic(`${code.length} bytes, ${gzipSync(code).length} compressed`)
    assert.ok(code.length < 10_000, `${code.length} bytes`)
  })
})
