import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Stack } from 'aws-cdk-lib'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { Topic } from 'aws-cdk-lib/aws-sns'
import { Highwater, type HighwaterProps } from '../../infra/highwater.ts'
import { HighwaterStorage } from '../../infra/storage.ts'
import { allowing, flat, statementsOf } from './policies.ts'
import { createApp, ofType, synthesise, templateOf } from './synthesis.ts'

function theirs(props: HighwaterProps, use: (log: Highwater, role: Role, stack: Stack) => void = () => {}) {
  const stack = new Stack(createApp(), 'Theirs')
  const log = new Highwater(stack, 'Log', { alarms: false, dashboard: false, ...props })
  const role = new Role(stack, 'Somebody', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') })
  use(log, role, stack)
  const { Resources } = templateOf(stack)
  const [somebody] = ofType(Resources, 'AWS::IAM::Role').find(([id]) => id.startsWith('Somebody'))!
  const [api] = ofType(Resources, 'AWS::ApiGatewayV2::Api')[0] ?? ['']
  const statements = statementsOf(Resources, somebody)
  const mayAsk = (request: string) =>
    allowing(statements, {
      action: 'execute-api:Invoke',
      resource: `arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<${api}>/$default/${request}`,
    }) !== undefined
  return { resources: Resources, mayAsk, statements }
}

const produces = ['POST/topics/orders', 'POST/topics/orders/partitions/3', 'POST/producers']
const fetches = ['GET/topics/orders/partitions/3/records', 'GET/topics/orders/partitions/3/offsets']
const consumes = ['POST/groups/billing/members', 'POST/groups/billing/members/m/poll', 'POST/groups/billing/offsets']
const administers = [
  'POST/v3/clusters/c/topics',
  'DELETE/kafka/v3/clusters/c/topics/orders',
  'POST/v3/clusters/c/topics/orders/configs:alter',
  'DELETE/groups/billing',
  'DELETE/topics/orders/partitions/3/records',
  'POST/api-keys',
]

describe('a log in a stack of somebody else', () => {
  it('keeps its data and asks for signatures where nothing is said', () => {
    const { resources, statements } = theirs({})
    assert.equal(resources.LogSegments?.DeletionPolicy, 'Retain')
    assert.equal(resources.LogMetadata?.Properties.DeletionProtectionEnabled, true)
    for (const [, { Properties }] of ofType(resources, 'AWS::ApiGatewayV2::Route'))
      assert.equal(Properties.AuthorizationType, 'AWS_IAM')
    assert.deepEqual(statements, [])
  })

  for (const [grant, may, mayNot] of [
    ['grantProduce', produces, [...fetches, ...consumes, ...administers]],
    ['grantConsume', [...fetches, ...consumes], [...produces, ...administers]],
    ['grantAdmin', administers, [...produces, ...fetches, ...consumes]],
  ] as const)
    it(`lets those ${grant} was called with do that, and nothing else`, () => {
      const { mayAsk } = theirs({}, (log, role) => log[grant](role))
      for (const request of may) assert.ok(mayAsk(request), request)
      for (const request of mayNot) assert.ok(!mayAsk(request), request)
      // The partitions of a topic are what producers and consumers begin with.
      if (grant !== 'grantAdmin') assert.ok(mayAsk('GET/topics/orders/partitions'))
    })

  it('lets them use the URL of the function, too, with the two permissions that takes', () => {
    const { statements } = theirs({ functionUrls: true }, (log, role) => log.grantProduce(role))
    const actions = statements.flatMap(({ Action }) => Action).sort()
    assert.deepEqual(actions, ['execute-api:Invoke', 'lambda:InvokeFunction', 'lambda:InvokeFunctionUrl'])
    for (const { Action, Resource } of statements)
      if (String(Action).startsWith('lambda')) assert.match(flat(Resource), /^<LogProduceFunction/)
  })

  it('grants nothing where callers show tokens or keys', () => {
    for (const auth of [{ kind: 'api-keys' }, { kind: 'none' }] as const)
      assert.throws(() => theirs({ auth }, (log, role) => log.grantProduce(role)), /grants are for auth iam/)
  })

  it('grants its Web Function as a whole', () => {
    const { statements } = theirs({ compute: 'web' }, (log, role) => log.grantConsume(role))
    assert.equal(statements.length, 1)
    assert.match(String(statements[0]?.Action), /^lambda:Invoke/)
  })

  it('can have its data elsewhere, and be there twice', () => {
    const app = createApp()
    const data = new Stack(app, 'Data')
    const storage = new HighwaterStorage(data, 'Storage', { isDisposable: true })
    const stack = new Stack(app, 'Theirs')
    new Highwater(stack, 'Orders', { storage })
    new Highwater(stack, 'Invoices')
    const { Resources } = templateOf(stack)
    assert.deepEqual(
      ofType(Resources, 'AWS::S3::Bucket').map(([id]) => id),
      ['InvoicesSegments'],
    )
    const services = ofType(Resources, 'AWS::Lambda::Function').map(
      ([, { Properties }]) => Properties.Environment.Variables.POWERTOOLS_SERVICE_NAME as string,
    )
    assert.deepEqual([...new Set(services)].sort(), ['Theirs-Invoices', 'Theirs-Orders'])
  })

  it('tells whom it is given of alarms', () => {
    const stack = new Stack(createApp(), 'Theirs')
    new Highwater(stack, 'Log', { alarms: { topic: new Topic(stack, 'Topic') } })
    const alarms = ofType(templateOf(stack).Resources, 'AWS::CloudWatch::Alarm')
    assert.ok(alarms.length > 0)
    for (const [id, { Properties }] of alarms) assert.match(flat(Properties.AlarmActions[0]), /^<Topic/, id)
  })

  it('runs another entry, with more memory and environment, where a function is told to', () => {
    const { resources } = theirs({
      functions: { produce: { memoryMb: 1_024, environment: { EXTRA: '1' } } },
      settings: { autoCreateTopics: true, fetchWaitMsMax: 25_000 },
      publicUrl: 'https://log.example',
    })
    const [, produce] = ofType(resources, 'AWS::Lambda::Function').find(([id]) => id.startsWith('LogProduce'))!
    assert.equal(produce.Properties.MemorySize, 1_024)
    assert.deepEqual(
      { ...produce.Properties.Environment.Variables, HIGHWATER_BUCKET: '', HIGHWATER_TABLE: '' },
      {
        EXTRA: '1',
        HIGHWATER_BUCKET: '',
        HIGHWATER_TABLE: '',
        HIGHWATER_PUBLIC_URL: 'https://log.example',
        // The default is not repeated.
        HIGHWATER_SETTINGS: '{"autoCreateTopics":true}',
        NODE_OPTIONS: '--enable-source-maps',
        POWERTOOLS_LOG_LEVEL: 'INFO',
        POWERTOOLS_METRICS_NAMESPACE: 'Highwater',
        POWERTOOLS_SERVICE_NAME: 'Theirs-Log',
      },
    )
  })
})

describe('the functions', () => {
  const functions = ofType(synthesise({ auth: 'api-keys' }).resources, 'AWS::Lambda::Function').map(
    ([, { Properties }]) => Properties,
  )

  it('run on arm64 and the runtime of today, log as JSON into a group of their own, and end before the gateway gives up', () => {
    const groups = new Set(functions.map(({ LoggingConfig }) => flat(LoggingConfig.LogGroup)))
    assert.equal(groups.size, functions.length)
    for (const { Architectures, Runtime, LoggingConfig, Timeout, Description } of functions) {
      assert.deepEqual(Architectures, ['arm64'])
      assert.equal(Runtime, 'nodejs24.x')
      assert.equal(LoggingConfig.LogFormat, 'JSON')
      assert.ok(Timeout <= 30 || /^Highwater: (maintain|merge|sweep)$/.test(Description), Description)
    }
    for (const [, { Properties }] of ofType(synthesise().resources, 'AWS::Logs::LogGroup'))
      assert.equal(Properties.RetentionInDays, 30)
  })

  it('take no reserved concurrency from others, and are traced where that was asked for', () => {
    for (const { ReservedConcurrentExecutions, TracingConfig } of functions) {
      assert.equal(ReservedConcurrentExecutions, undefined)
      assert.equal(TracingConfig, undefined)
    }
    for (const [, { Properties }] of ofType(synthesise({ tracing: 'true' }).resources, 'AWS::Lambda::Function'))
      assert.deepEqual(Properties.TracingConfig, { Mode: 'Active' })
  })

  it('hold no credentials in their environment', () => {
    for (const { Environment } of functions)
      for (const name of Object.keys(Environment.Variables)) assert.doesNotMatch(name, /KEY|SECRET|TOKEN|PASSWORD/)
  })

  it('look after the log on a schedule whose role may do nothing but start that', () => {
    const { resources } = synthesise()
    const schedules = ofType(resources, 'AWS::Scheduler::Schedule').map(([, schedule]) => schedule)
    assert.deepEqual(
      schedules
        .map(({ Properties }) => [
          flat(Properties.Target.Arn).match(/^<Log([A-Z][a-z]+)Function/)?.[1],
          Properties.ScheduleExpression,
        ])
        .sort(),
      [
        ['Maintain', 'rate(10 minutes)'],
        ['Sweep', 'rate(6 hours)'],
      ],
    )
    for (const schedule of schedules) {
      const statements = statementsOf(resources, schedule.Properties.Target.RoleArn['Fn::GetAtt'][0])
      assert.deepEqual(
        statements.map(({ Action, Resource }) => [Action, flat(Resource)]),
        [['lambda:InvokeFunction', flat(schedule.Properties.Target.Arn)]],
      )
    }
    const often = synthesise({ settings: '{"maintainIntervalMs":90000}' }).resources
    assert.ok(
      ofType(often, 'AWS::Scheduler::Schedule').some(
        ([, { Properties }]) => Properties.ScheduleExpression === 'rate(2 minutes)',
      ),
    )
  })
})

describe('the stack', () => {
  it('says where the log is and what a request must carry', () => {
    const outputs = (contexts: object) => Object.keys(synthesise({ ...contexts }).service.Outputs ?? {}).sort()
    const always = ['HighwaterAuth', 'HighwaterBucket', 'HighwaterTable', 'HighwaterUrl']
    assert.deepEqual(outputs({}), always)
    assert.deepEqual(outputs({ stacks: 'separate' }), ['HighwaterAuth', 'HighwaterUrl'])
    const { storage } = synthesise({ stacks: 'separate' })
    for (const id of ['HighwaterBucket', 'HighwaterTable']) assert.ok(storage.Outputs?.[id])
    assert.deepEqual(outputs({ compute: 'web' }), always)
    assert.deepEqual(outputs({ functionUrl: 'true' }), [...always, 'HighwaterFetchUrl', 'HighwaterProduceUrl'].sort())
    assert.equal(synthesise({ auth: 'api-keys' }).service.Outputs?.HighwaterAuth?.Value, 'api-keys')
  })

  it('has the stage in its name, production has none', () => {
    assert.equal(synthesise().stacks.service.stackName, 'Highwater')
    const { service, storage } = synthesise({ stage: 'staging', stacks: 'separate' }).stacks
    assert.deepEqual([service.stackName, storage.stackName], ['Highwater-staging-Service', 'Highwater-staging-Storage'])
  })

  it('is not deleted by a slip of the hand, unless it is one of dev', () => {
    const isProtected = (contexts: object) => synthesise({ ...contexts }).stacks.service.terminationProtection
    assert.equal(isProtected({}), true)
    assert.equal(isProtected({ stacks: 'separate' }), true)
    assert.equal(isProtected({ stage: 'dev' }), false)
  })
})
