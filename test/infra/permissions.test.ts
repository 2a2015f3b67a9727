import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type FunctionName, permissionsOf } from '../../infra/permissions.ts'
import { allowing, flat, listOf, type Statement, statementsOf } from './policies.ts'
import { ofType, type Resource, synthesise } from './synthesis.ts'

const bucket = '<HighwaterSegments.Arn>'
const table = '<HighwaterMetadata.Arn>'

/** Statements of each function's role, by what the function is called. */
function rolesOf(resources: Readonly<Record<string, Resource>>): Map<string, Statement[]> {
  return new Map(
    ofType(resources, 'AWS::Lambda::Function')
      .filter(([, { Properties }]) => String(Properties.Description).startsWith('Highwater: '))
      .map(([, { Properties }]) => [
        String(Properties.Description).slice('Highwater: '.length),
        statementsOf(resources, Properties.Role['Fn::GetAtt'][0]),
      ]),
  )
}

function may(statements: readonly Statement[] | undefined, action: string, on: string, key?: string): boolean {
  assert.ok(statements)
  return (
    allowing(statements, { action, resource: on, ...(key === undefined ? {} : { leadingKeys: [key] }) }) !== undefined
  )
}

const writes = ['PutItem', 'UpdateItem', 'DeleteItem', 'ConditionCheckItem', 'BatchWriteItem', 'TransactWriteItems']
const collections = [
  'cluster',
  'topics',
  'graves',
  'rows/t/0',
  'producers/t/0',
  'inline/t/0',
  'candidates',
  'sweep',
  'upkeep',
  'instance-groups',
  'heads/t/0',
  'api-keys',
  'groups',
  'group-states',
  'members/g',
  'offsets/g',
  'instances/g',
  'instance-groups',
]

describe('who may do what', () => {
  const { resources } = synthesise({ auth: 'api-keys' })
  const roles = rolesOf(resources)

  it('gives every function a role of its own', () => {
    assert.deepEqual([...roles.keys()].sort(), [
      'admin',
      'authorize',
      'consume',
      'fetch',
      'maintain',
      'merge',
      'produce',
      'sweep',
      'verify',
    ])
    const ids = ofType(resources, 'AWS::Lambda::Function').map(([, { Properties }]) => flat(Properties.Role))
    assert.equal(new Set(ids).size, ids.length)
  })

  it('lets produce create segments, and upkeep, which merges them', () => {
    for (const [name, statements] of roles)
      assert.equal(
        may(statements, 's3:PutObject', `${bucket}/segments/0/x`),
        ['produce', 'maintain', 'merge'].includes(name),
        name,
      )
    assert.ok(!may(roles.get('produce'), 's3:PutObject', `${bucket}/elsewhere`))
    assert.ok(!may(roles.get('produce'), 's3:GetObject', `${bucket}/segments/0/x`))
  })

  it('lets those read segments that answer records, look for a time in them, merge or sweep them', () => {
    for (const [name, statements] of roles)
      assert.equal(
        may(statements, 's3:GetObject', `${bucket}/segments/0/x`),
        ['fetch', 'consume', 'admin', 'maintain', 'merge', 'sweep', 'verify'].includes(name),
        name,
      )
  })

  it('lets fetch and verify write nothing at all', () => {
    for (const name of ['fetch', 'verify']) {
      for (const write of writes)
        for (const collection of collections)
          assert.ok(!may(roles.get(name), `dynamodb:${write}`, table, collection), `${write} ${collection}`)
      assert.ok(!may(roles.get(name), 's3:PutObject', `${bucket}/segments/0/x`))
    }
  })

  it('lets only produce, admin, upkeep, merge and sweep change a head, and nobody remove one', () => {
    for (const [name, statements] of roles) {
      const isWriter = ['produce', 'admin', 'maintain', 'merge', 'sweep'].includes(name)
      assert.equal(may(statements, 'dynamodb:UpdateItem', table, 'heads/t/0'), isWriter, name)
      assert.ok(!may(statements, 'dynamodb:DeleteItem', table, 'heads/t/0'), name)
    }
  })

  it('lets nobody but admin touch topics, and produce only where it may create them', () => {
    const withCreation = rolesOf(synthesise({ settings: '{"autoCreateTopics":true}' }).resources)
    for (const [name, statements] of roles)
      assert.equal(may(statements, 'dynamodb:PutItem', table, 'topics'), name === 'admin', name)
    for (const [name, statements] of withCreation)
      assert.equal(may(statements, 'dynamodb:PutItem', table, 'topics'), name === 'admin' || name === 'produce', name)
  })

  it('lets only admin make API keys, and only the authorizer and admin read them', () => {
    for (const [name, statements] of roles) {
      assert.equal(may(statements, 'dynamodb:GetItem', table, 'api-keys'), ['authorize', 'admin'].includes(name), name)
      assert.equal(may(statements, 'dynamodb:PutItem', table, 'api-keys'), name === 'admin', name)
      assert.ok(!may(statements, 'dynamodb:DeleteItem', table, 'api-keys'), name)
    }
    for (const collection of collections.filter((each) => each !== 'api-keys'))
      assert.ok(!may(roles.get('authorize'), 'dynamodb:GetItem', table, collection), collection)
  })

  it('lets no role read or write the table as a whole', () => {
    for (const [name, statements] of roles)
      for (const statement of statements.filter(({ Resource }) => !flat(Resource).endsWith('.StreamArn>')))
        for (const action of listOf(statement.Action)) {
          assert.ok(
            !/\*|Scan|Batch|Table|Stream|Backup/.test(action) || !action.startsWith('dynamodb'),
            `${name}: ${action}`,
          )
          if (action.startsWith('dynamodb:'))
            assert.ok(statement.Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'], `${name}: ${action}`)
        }
  })

  it('lets a function write to its own log only', () => {
    for (const [name, statements] of roles) {
      const logs = statements.filter(({ Action }) => listOf(Action).some((action) => action.startsWith('logs:')))
      assert.equal(logs.length, 1, name)
      assert.deepEqual(logs[0]?.Action, ['logs:CreateLogStream', 'logs:PutLogEvents'])
      assert.match(flat(logs[0]?.Resource), new RegExp(`^<Log${name}Logs[0-9A-F]+\\.Arn>$`, 'i'))
    }
  })

  it('begins no function before its role may do its work', () => {
    for (const [, { Properties, DependsOn = [] }] of ofType(resources, 'AWS::Lambda::Function')) {
      if (!String(Properties.Description).startsWith('Highwater: ')) continue
      const policies = ofType(resources, 'AWS::IAM::Policy')
        .filter(([, policy]) => policy.Properties.Roles[0].Ref === Properties.Role['Fn::GetAtt'][0])
        .map(([id]) => id)
      assert.ok(policies.length >= 2)
      for (const policy of policies) assert.ok(DependsOn.includes(policy), `${Properties.Description} needs ${policy}`)
    }
  })

  it('makes each policy of the list, no more and no less', () => {
    for (const [name, statements] of roles) {
      const listed = permissionsOf(name as FunctionName).flatMap(({ actions, on }) =>
        actions.flatMap((action) =>
          on.kind === 'items' ? on.collections.map((key) => `${action} ${key}`) : [`${action} ${on.kind}`],
        ),
      )
      const made = statements
        .filter(({ Action }) => !listOf(Action).some((action) => action.startsWith('logs:')))
        .flatMap(({ Action, Resource, Condition }) => {
          const keys = Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys']
          const kinds: Record<string, string> = { [bucket]: 'bucket', '<HighwaterMetadata.StreamArn>': 'stream' }
          const on = keys !== undefined ? listOf(keys as string[]) : [kinds[flat(Resource)] ?? 'objects']
          return listOf(Action).flatMap((action) => on.map((each) => `${action} ${each}`))
        })
      assert.deepEqual([...new Set(made)].sort(), [...new Set(listed)].sort(), name)
    }
  })

  it('says of every permission why', () => {
    for (const name of [
      'produce',
      'fetch',
      'consume',
      'admin',
      'maintain',
      'merge',
      'sweep',
      'verify',
      'authorize',
      'web',
    ] as const)
      for (const { why, rarely, actions } of permissionsOf(name, { autoCreateTopics: true })) {
        assert.match(why, /^[A-Z].{15,}\.$/, actions.join())
        if (rarely !== undefined) assert.match(rarely, /^[A-Z].+\.$/)
      }
  })
})

describe('deleting', () => {
  for (const contexts of [
    {},
    { stacks: 'separate', functionUrl: 'true' },
    { compute: 'web' },
    { auth: 'api-keys' },
  ] as const)
    it(`is allowed to no role but that of the sweep with ${JSON.stringify(contexts)}`, () => {
      const { resources } = synthesise(contexts)
      const sweeps = ofType(resources, 'AWS::IAM::Role').filter(([id]) => /SweepRole/.test(id))
      assert.equal(sweeps.length, 1)
      for (const [role] of sweeps)
        assert.deepEqual(
          statementsOf(resources, role)
            .filter(({ Action }) => listOf(Action).some((action) => action.startsWith('s3:Delete')))
            // In another stack than the bucket it names it by an import.
            .map(({ Resource }) => /HighwaterSegments.*\/segments\/\*$/.test(flat(Resource))),
          [true],
        )
      for (const [role] of ofType(resources, 'AWS::IAM::Role').filter(([id]) => !/SweepRole/.test(id)))
        for (const { Effect, Action, Resource } of statementsOf(resources, role))
          for (const action of listOf(Action))
            if (Effect === 'Allow' && (/^s3:(Delete|\*)/.test(action) || action === '*'))
              // What copies the code of a Web Function, in the bucket that holds the code.
              for (const each of listOf(Resource))
                assert.match(
                  flat(each),
                  /^<AWSCDKWebFunctionAssetBucket\w+\.Arn>\/web-function\/\*$/,
                  `${role} ${action}`,
                )
    })

  it('is denied by the bucket itself to all but the sweep, and of versions to everybody, whatever a role allows', () => {
    const { resources } = synthesise()
    const statements = resources.HighwaterSegmentsPolicy?.Properties.PolicyDocument.Statement as Statement[]
    const denied = statements.find(({ Sid }) => Sid === 'SegmentsAreNotDeleted')
    assert.deepEqual(
      { ...denied, Resource: flat(denied?.Resource) },
      {
        Sid: 'SegmentsAreNotDeleted',
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Action: 's3:DeleteObjectVersion',
        Resource: `${bucket}/segments/*`,
      },
    )
    const swept = statements.find(({ Sid }) => Sid === 'SegmentsAreSweptOnly')
    assert.deepEqual(
      { ...swept, Resource: flat(swept?.Resource) },
      {
        Sid: 'SegmentsAreSweptOnly',
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Action: 's3:DeleteObject',
        Resource: `${bucket}/segments/*`,
        Condition: { StringNotEquals: { 'aws:PrincipalTag/highwater:may': 'sweep' } },
      },
    )
    const tagged = ofType(resources, 'AWS::IAM::Role').filter(([, { Properties }]) =>
      JSON.stringify(Properties.Tags ?? []).includes('highwater:may'),
    )
    assert.deepEqual(
      tagged.map(([id]) => /SweepRole/.test(id)),
      [true],
    )
  })
})
