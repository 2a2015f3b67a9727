import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Stack } from 'aws-cdk-lib'
import { Bucket } from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import { HighwaterStorage } from '../../infra/storage.ts'
import { flat, type Statement } from './policies.ts'
import { createApp, ofType, synthesise, templateOf } from './synthesis.ts'

const { resources } = synthesise()
const bucket = resources.HighwaterSegments!
const table = resources.HighwaterMetadata!

describe('the storage', () => {
  it('has logical ids that are pinned: another one would be another bucket, another table', () => {
    assert.equal(bucket.Type, 'AWS::S3::Bucket')
    assert.equal(table.Type, 'AWS::DynamoDB::Table')
    assert.equal(resources.HighwaterSegmentsPolicy?.Type, 'AWS::S3::BucketPolicy')
  })

  it('is retained when the stack goes, the protection of the bucket too, and in every stage but dev', () => {
    for (const contexts of [{}, { stage: 'staging' }, { stacks: 'separate' }, { compute: 'web' }] as const) {
      const { storage } = synthesise(contexts)
      for (const id of ['HighwaterSegments', 'HighwaterSegmentsPolicy', 'HighwaterMetadata'])
        for (const policy of ['DeletionPolicy', 'UpdateReplacePolicy'] as const)
          assert.equal(storage.Resources[id]?.[policy], 'Retain', `${JSON.stringify(contexts)} ${id}`)
      assert.equal(storage.Resources.HighwaterMetadata?.Properties.DeletionProtectionEnabled, true)
    }
  })

  it('goes with a stage of dev, emptied', () => {
    const { storage } = synthesise({ stage: 'dev' })
    assert.equal(storage.Resources.HighwaterMetadata?.DeletionPolicy, 'Delete')
    assert.equal(storage.Resources.HighwaterMetadata?.Properties.DeletionProtectionEnabled, false)
    assert.equal(storage.Resources.HighwaterSegments?.DeletionPolicy, 'Delete')
    assert.equal(ofType(storage.Resources, 'Custom::S3AutoDeleteObjects').length, 1)
    assert.equal(ofType(resources, 'Custom::S3AutoDeleteObjects').length, 0)
  })

  it('has keys of two strings, pays per request, can be restored to any second of 35 days, and streams both images', () => {
    const { KeySchema, AttributeDefinitions, BillingMode, PointInTimeRecoverySpecification, StreamSpecification } =
      table.Properties
    assert.deepEqual(KeySchema, [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ])
    assert.deepEqual(AttributeDefinitions, [
      { AttributeName: 'pk', AttributeType: 'S' },
      { AttributeName: 'sk', AttributeType: 'S' },
    ])
    assert.equal(BillingMode, 'PAY_PER_REQUEST')
    assert.deepEqual(PointInTimeRecoverySpecification, { PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35 })
    assert.deepEqual(StreamSpecification, { StreamViewType: 'NEW_AND_OLD_IMAGES' })
  })

  it('keeps versions of objects for longer than the table can be restored to, and no unfinished uploads', () => {
    const { VersioningConfiguration, LifecycleConfiguration } = bucket.Properties
    assert.deepEqual(VersioningConfiguration, { Status: 'Enabled' })
    const rules = LifecycleConfiguration.Rules as Record<string, Record<string, number>>[]
    const kept = rules.find((rule) => rule.NoncurrentVersionExpiration)?.NoncurrentVersionExpiration?.NoncurrentDays
    assert.ok(kept !== undefined && kept > table.Properties.PointInTimeRecoverySpecification.RecoveryPeriodInDays)
    assert.ok(
      rules.every((rule) => !('ExpirationInDays' in rule)),
      'what is current is never expired',
    )
    assert.ok(rules.some((rule) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation === 1))
  })

  it('is encrypted, and neither public nor reached without TLS', () => {
    assert.deepEqual(bucket.Properties.PublicAccessBlockConfiguration, {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    })
    assert.equal(
      bucket.Properties.BucketEncryption.ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault
        .SSEAlgorithm,
      'AES256',
    )
    assert.deepEqual(bucket.Properties.OwnershipControls.Rules, [{ ObjectOwnership: 'BucketOwnerEnforced' }])
    const conditions = policyOf().map(({ Condition }) => JSON.stringify(Condition))
    assert.ok(conditions.includes('{"Bool":{"aws:SecureTransport":"false"}}'))
    assert.ok(conditions.includes('{"NumericLessThan":{"s3:TlsVersion":1.2}}'))
  })

  it('takes a segment only where there is none, from whoever it is, in every stage', () => {
    for (const each of [policyOf(), policyOf(synthesise({ stage: 'dev' }).resources)]) {
      const written = each.find(({ Sid }) => Sid === 'SegmentsAreWrittenOnce')
      assert.deepEqual(
        { ...written, Resource: flat(written?.Resource) },
        {
          Sid: 'SegmentsAreWrittenOnce',
          Effect: 'Deny',
          Principal: { AWS: '*' },
          Action: 's3:PutObject',
          Resource: '<HighwaterSegments.Arn>/segments/*',
          // Not parts of an upload, which have no such header; what completes it has.
          Condition: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
        },
      )
    }
  })

  it('allows nothing by its own policy: only roles of this account reach it', () => {
    for (const { Effect } of policyOf()) assert.equal(Effect, 'Deny')
  })

  it('is in a stack of its own where that is asked for, which refers to nothing of the other', () => {
    const { storage, service } = synthesise({ stacks: 'separate' })
    assert.deepEqual(Object.keys(storage.Resources).sort(), [
      'HighwaterMetadata',
      'HighwaterSegments',
      'HighwaterSegmentsPolicy',
    ])
    assert.equal(ofType(service.Resources, 'AWS::S3::Bucket').length, 0)
    assert.ok(!JSON.stringify(storage.Resources).includes('ImportValue'))
    assert.ok(JSON.stringify(service.Resources).includes('Highwater-Storage:Exports'))
  })

  it('is pinned to where it stands in a stack of somebody else, and not to what it is made of', () => {
    const stack = new Stack(createApp(), 'Theirs')
    new HighwaterStorage(new Construct(new Construct(stack, 'Orders'), 'Log-1'), 'Storage')
    new HighwaterStorage(stack, 'Second', { logicalIdPrefix: 'Invoices' })
    const { Resources } = templateOf(stack)
    assert.deepEqual(Object.keys(Resources).sort(), [
      'InvoicesMetadata',
      'InvoicesSegments',
      'InvoicesSegmentsPolicy',
      'OrdersLog1Metadata',
      'OrdersLog1Segments',
      'OrdersLog1SegmentsPolicy',
    ])
  })

  it('can be worked on in a table that was restored, beside its own', () => {
    const { resources } = synthesise({ table: 'Highwater-restored' })
    assert.equal(resources.HighwaterMetadata?.DeletionPolicy, 'Retain')
    const functions = ofType(resources, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties)
    for (const { Environment } of functions) assert.equal(Environment.Variables.HIGHWATER_TABLE, 'Highwater-restored')
    for (const [, { Properties }] of ofType(resources, 'AWS::IAM::Policy'))
      for (const { Action, Resource } of Properties.PolicyDocument.Statement as Statement[])
        if (String(Action).startsWith('dynamodb'))
          assert.match(
            flat(Resource),
            /^arn:<AWS::Partition>:dynamodb:<AWS::Region>:<AWS::AccountId>:table\/Highwater-restored$/,
          )
  })

  it('writes access logs of the bucket where it is told to', () => {
    const stack = new Stack(createApp(), 'Theirs')
    const logs = new Bucket(stack, 'Logs')
    new HighwaterStorage(stack, 'Storage', { serverAccessLogs: { bucket: logs, prefix: 'log/' } })
    assert.equal(templateOf(stack).Resources.HighwaterSegments?.Properties.LoggingConfiguration.LogFilePrefix, 'log/')
  })
})

function policyOf(of = resources): Statement[] {
  const statements = of.HighwaterSegmentsPolicy?.Properties.PolicyDocument.Statement as Statement[]
  return statements.filter(({ Principal }) => JSON.stringify(Principal) === '{"AWS":"*"}')
}
