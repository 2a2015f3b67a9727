import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { contextsTable, parseContexts } from '../../infra/contexts.ts'

function deployment(contexts: Record<string, unknown>) {
  const parsed = parseContexts(contexts)
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.message)
  return parsed.deployment
}

function failure(contexts: Record<string, unknown>): string {
  const parsed = parseContexts(contexts)
  assert.ok(!parsed.ok)
  return parsed.message
}

describe('the contexts of a deployment', () => {
  it('are not needed: one stack that keeps its data, signed requests, alarms and a dashboard', () => {
    assert.deepEqual(deployment({}), {
      stage: 'production',
      isDisposable: false,
      stacks: 'one',
      compute: 'functions',
      auth: { kind: 'iam' },
      cors: [],
      functionUrls: false,
      alarms: true,
      dashboard: true,
      savedQueries: true,
      tracing: false,
      settings: {},
    })
  })

  it('keep the data of every stage but dev', () => {
    for (const stage of ['production', 'staging', 'developers', 'test'])
      assert.equal(deployment({ stage }).isDisposable, false, stage)
    for (const stage of ['dev', 'dev-anna']) assert.equal(deployment({ stage }).isDisposable, true, stage)
  })

  it('are the same from the command line, which knows texts only, and from cdk.json', () => {
    const given = { alarms: false, functionUrl: true, settings: { autoCreateTopics: true } }
    const typed = { alarms: 'false', functionUrl: 'true', settings: '{"autoCreateTopics":true}' }
    assert.deepEqual(deployment(typed), deployment(given))
    assert.deepEqual(deployment({ cors: 'https://a.example, https://b.example' }).cors, [
      'https://a.example',
      'https://b.example',
    ])
  })

  it('leave alone what the CDK and its tools say in them', () => {
    deployment({
      '@aws-cdk/aws-iam:minimizePolicies': true,
      'aws:cdk:bundling-stacks': [],
      'availability-zones:account=1': [],
    })
  })

  it('are refused where there is none of that name, so that a slip of the pen deploys nothing', () => {
    assert.match(failure({ atuh: 'api-keys' }), /no context atuh \(there are stage, .*auth/)
  })

  for (const [contexts, message] of [
    [{ auth: 'basic' }, /auth must be one of iam, jwt, api-keys, none, not basic/],
    [{ stage: 'Prod' }, /stage must be up to 30 lower-case letters/],
    [{ stage: `a${'b'.repeat(30)}` }, /stage must be up to 30/],
    [{ alarms: 'no' }, /alarms must be true or false, not "no"/],
    [{ auth: 'jwt' }, /auth=jwt needs jwtIssuer, an https URL; auth=jwt needs jwtAudience/],
    [{ auth: 'jwt', jwtIssuer: 'http://a.example', jwtAudience: 'b' }, /needs jwtIssuer, an https URL/],
    [{ jwtIssuer: 'https://a.example' }, /jwtIssuer, jwtAudience and jwtScopes are for auth=jwt, and this is auth=iam/],
    [
      { compute: 'web', auth: 'jwt', jwtIssuer: 'https://a.example', jwtAudience: 'b' },
      /a Web Function checks signatures .* not auth=jwt/,
    ],
    [{ jwtScopes: 'highwater/' }, /jwtScopes are for auth=jwt/],
    [{ compute: 'web', functionUrl: 'true' }, /functionUrl=true is for compute=functions/],
    [{ compute: 'web', tracing: 'true' }, /tracing=true is for compute=functions/],
    [{ cors: 'a.example' }, /cors must name origins like/],
    [{ alarmTopicArn: 'alerts' }, /alarmTopicArn must be the ARN/],
    [{ alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:a', alarms: 'false' }, /but alarms=false/],
    [{ settings: '[]' }, /settings must be a JSON object/],
    [{ settings: '{"lingerMs"}' }, /settings must be a JSON object/],
    [{ settings: { linger: 1 } }, /linger is not a setting/],
    [{ fetchConcurrencyMax: '0' }, /fetchConcurrencyMax must be a whole number from 1 to 100000/],
    [{ fetchConcurrencyMax: 'many' }, /fetchConcurrencyMax must be a whole number/],
    [{ fetchConcurrencyMax: '100001' }, /fetchConcurrencyMax must be a whole number/],
    [{ fetchConcurrencyMax: 5, compute: 'web' }, /fetchConcurrencyMax is for compute=functions/],
    [{ settings: { isSoleProcess: true } }, /isSoleProcess is for one server alone/],
    [{ settings: { fetchWaitMsMax: 25_001 } }, /fetchWaitMsMax is at most 25000/],
    [{ settings: { appendBytesMax: 4_194_305 } }, /appendBytesMax is at most 4194304/],
  ] as const)
    it(`refuse ${JSON.stringify(contexts)}`, () => assert.match(failure(contexts), message))

  it('tell of every failure at once', () => {
    assert.match(failure({ auth: 'x', stacks: 'y', compute: 'z' }), /stacks .*compute .*auth /)
  })

  it('are all in the handbook, with what they mean', () => {
    const handbook = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
    for (const [name, { values, default: byDefault, meaning }] of Object.entries(contextsTable))
      assert.ok(handbook.includes(`| \`${name}\` | ${values} | ${byDefault} | ${meaning} |`), name)
  })
})
