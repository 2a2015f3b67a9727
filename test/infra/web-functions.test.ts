import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { permissionsOf } from '../../infra/permissions.ts'
import { allowing, flat, listOf, type Statement, statementsOf } from './policies.ts'
import { ofType, type Resource, synthesise } from './synthesis.ts'

const { resources } = synthesise({ compute: 'web', settings: '{"lingerMs":10}' })

function one(type: string, of = resources): [string, Resource] {
  const found = ofType(of, type)
  assert.equal(found.length, 1, type)
  return found[0]!
}

describe('a Web Function', () => {
  const [id] = one('AWS::Lambda::WebFunction')
  const [, revision] = one('AWS::Lambda::WebFunctionRevision')
  const [, endpoint] = one('AWS::Lambda::WebFunctionEndpoint')

  it('stands for the API and all functions but those that look after the log', () => {
    assert.equal(ofType(resources, 'AWS::ApiGatewayV2::Api').length, 0)
    const ours = ofType(resources, 'AWS::Lambda::Function')
      .map(([, { Properties }]) => String(Properties.Description))
      .filter((description) => description.startsWith('Highwater: '))
    assert.deepEqual([...ours].sort(), ['Highwater: maintain', 'Highwater: merge', 'Highwater: sweep'])
    // Of both.
    assert.equal(ofType(resources, 'AWS::Scheduler::Schedule').length, 2)
  })

  it('runs on the runtime of today, takes as many requests at once as it may, and gives a long poll time', () => {
    const { BuildConfig, ServiceConfig } = revision.Properties
    assert.deepEqual(BuildConfig.RuntimeConfig, { Runtime: 'nodejs24.x' })
    assert.equal(ServiceConfig.MaxConcurrencyPerEnvironment, 128)
    assert.ok(ServiceConfig.TimeoutSeconds > 25 && ServiceConfig.TimeoutSeconds <= 900)
    assert.equal(ServiceConfig.EnvironmentVariables.HIGHWATER_SETTINGS, '{"lingerMs":10}')
    assert.equal(flat(ServiceConfig.EnvironmentVariables.HIGHWATER_TABLE), '<HighwaterMetadata>')
    assert.match(flat(ServiceConfig.TelemetryConfig.LoggingConfig.LogGroup), /^<LogWebLogs/)
  })

  it('is made in order: function, revision, endpoint', () => {
    assert.ok(revision.DependsOn?.includes(id))
    assert.ok(endpoint.DependsOn?.includes(id))
    assert.ok(endpoint.DependsOn?.includes(one('AWS::Lambda::WebFunctionRevision')[0]))
    for (const [policy, { Properties }] of ofType(resources, 'AWS::IAM::Policy'))
      if (flat(Properties.Roles[0]) === `<${revision.Properties.ServiceConfig.ExecutionRoleArn['Fn::GetAtt'][0]}>`)
        assert.ok(revision.DependsOn?.includes(policy), policy)
  })

  it('asks for signatures, and for nothing only with auth none', () => {
    assert.equal(endpoint.Properties.AuthType, 'IamAuth')
    assert.equal(endpoint.Properties.EndpointType, 'HomeRegion')
    const open = synthesise({ compute: 'web', auth: 'none' })
    assert.equal(one('AWS::Lambda::WebFunctionEndpoint', open.resources)[1].Properties.AuthType, 'ApplicationManaged')
    assert.equal(open.warnings.length, 1)
  })

  it('has its code in a bucket that is versioned, private, and read by Lambda for revisions of this account alone', () => {
    const [bucketId, bucket] = ofType(resources, 'AWS::S3::Bucket').find(([each]) => each !== 'HighwaterSegments')!
    assert.deepEqual(bucket.Properties.VersioningConfiguration, { Status: 'Enabled' })
    assert.equal(bucket.Properties.PublicAccessBlockConfiguration.RestrictPublicBuckets, true)
    const [, policy] = ofType(resources, 'AWS::S3::BucketPolicy').find(
      ([, { Properties }]) => flat(Properties.Bucket) === `<${bucketId}>`,
    )!
    const read = (policy.Properties.PolicyDocument.Statement as Statement[]).find(
      ({ Principal }) => JSON.stringify(Principal) === '{"Service":"lambda.amazonaws.com"}',
    )
    assert.deepEqual(read?.Action, ['s3:GetObject', 's3:GetObjectVersion'])
    assert.deepEqual(Object.keys(read?.Condition ?? {}), ['StringEquals', 'ArnLike'])
    assert.match(flat(read?.Resource), /\/web-function\/\*$/)
  })

  it('may do what the four functions together may, and no more', () => {
    const statements = statementsOf(resources, revision.Properties.ServiceConfig.ExecutionRoleArn['Fn::GetAtt'][0])
    const may = (action: string, resource: string, key?: string) =>
      allowing(statements, { action, resource, ...(key === undefined ? {} : { leadingKeys: [key] }) }) !== undefined
    for (const name of ['produce', 'fetch', 'consume', 'admin'] as const)
      for (const { actions, on } of permissionsOf(name))
        for (const action of actions)
          if (on.kind === 'items')
            for (const key of on.collections)
              assert.ok(may(action, '<HighwaterMetadata.Arn>', key.replace('*', 'x')), `${action} ${key}`)
          else
            assert.ok(
              may(action, on.kind === 'bucket' ? '<HighwaterSegments.Arn>' : '<HighwaterSegments.Arn>/segments/0/x'),
              action,
            )
    assert.ok(!statements.some(({ Action }) => listOf(Action).some((action) => /Delete(Object|Table)|\*/.test(action))))
  })
})
