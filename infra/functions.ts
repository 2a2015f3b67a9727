/** A function of functions/, with a role and a log of its own. */
import { join } from 'node:path'
import { Duration, RemovalPolicy, Stack, Tags, Token, Validations } from 'aws-cdk-lib'
import { Effect, Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import {
  ApplicationLogLevel,
  Architecture,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda'
import { NodejsFunction } from 'aws-cdk-lib/aws-lambda-nodejs'
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { metricsNamespace } from '../functions/metrics.ts'
import type { Settings } from '../lib/core/settings.ts'
import { bundlingOf } from './bundling.ts'
import { settingsThatDiffer } from './contexts.ts'
import { type FunctionName, type Permission, permissionsOf } from './permissions.ts'
import { type HighwaterStorage, sweepTag } from './storage.ts'

export const root = join(import.meta.dirname, '..')

/** What can be said of a single function. */
export interface FunctionOptions {
  /** @default see `sizes` in functions.ts */
  readonly memoryMb?: number
  /** The file whose `handler` is run. @default functions/<name>.ts */
  readonly entry?: string
  /**
   * Executions at the same time, which are reserved for it.
   * @default as many as the account has left
   */
  readonly concurrencyMax?: number
  /** Beside what every function gets. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface HighwaterFunctionProps extends FunctionOptions {
  readonly name: FunctionName
  readonly storage: HighwaterStorage
  readonly settings: Partial<Settings>
  readonly cors: readonly string[]
  readonly tracing: boolean
  readonly publicUrl?: string
  readonly logRetention: RetentionDays
  /** This deployment among others, in the metrics' dimension of that name. */
  readonly service: string
}

interface Size {
  readonly memoryMb: number
  readonly timeout: Duration
}

/** The gateway waits 30 s; what takes longer is answered by nobody. A long poll of 25 s leaves 5 s for a cold start and the read. */
const gatewayTimeout = Duration.seconds(30)
/**
 * Processor time comes with memory: 1,769 MB are a whole processor. Parsing and checking 4 MiB, or reading chunks (8 MiB each,
 * a cache of 64 MiB) and writing JSON of them, takes a third of one and a few hundred megabytes. The others wait for DynamoDB.
 */
const sizes: Readonly<Record<Exclude<FunctionName, 'web'>, Size>> = {
  produce: { memoryMb: 512, timeout: gatewayTimeout },
  fetch: { memoryMb: 512, timeout: gatewayTimeout },
  consume: { memoryMb: 512, timeout: gatewayTimeout },
  admin: { memoryMb: 256, timeout: gatewayTimeout },
  // Both end early, and go on at the next call. Merges hold 32 MiB of batches, some of it twice.
  maintain: { memoryMb: 1_024, timeout: Duration.minutes(5) },
  merge: { memoryMb: 1_024, timeout: Duration.minutes(5) },
  sweep: { memoryMb: 512, timeout: Duration.minutes(5) },
  // A piece of 32 MiB, in ten seconds.
  verify: { memoryMb: 1_024, timeout: gatewayTimeout },
  // Someone waits for it before every request that is not in the gateway's cache.
  authorize: { memoryMb: 256, timeout: Duration.seconds(5) },
}

export class HighwaterFunction extends Construct {
  readonly name: FunctionName
  readonly function: NodejsFunction
  readonly memoryMb: number
  readonly role: Role
  readonly logGroup: LogGroup

  constructor(scope: Construct, id: string, props: HighwaterFunctionProps) {
    super(scope, id)
    this.name = props.name
    if (props.name === 'web') throw new Error('a Web Function is another construct (web-functions.ts)')
    const { timeout, ...size } = sizes[props.name]
    this.memoryMb = props.memoryMb ?? size.memoryMb

    this.logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    })
    const { role, policies } = roleOf(this, props, this.logGroup)
    this.role = role
    this.function = new NodejsFunction(this, 'Function', {
      description: `Highwater: ${props.name}`,
      entry: props.entry ?? join(root, 'functions', `${props.name}.ts`),
      handler: 'handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: this.memoryMb,
      timeout,
      role: this.role,
      bundling: bundlingOf(props.name),
      projectRoot: root,
      depsLockFilePath: join(root, 'package-lock.json'),
      // It would set a variable for the SDK of version 2.
      awsSdkConnectionReuse: false,
      environment: { ...environmentOf(this, props), NODE_OPTIONS: '--enable-source-maps', ...props.environment },
      ...(props.concurrencyMax === undefined ? {} : { reservedConcurrentExecutions: props.concurrencyMax }),
      logGroup: this.logGroup,
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      // Not a line for every start and end: logs can cost more than the work they tell of.
      systemLogLevelV2: SystemLogLevel.WARN,
      ...(props.tracing ? { tracing: Tracing.ACTIVE } : {}),
    })
    // Not called before it may do its work.
    this.function.node.addDependency(...policies)
    if (props.tracing)
      Validations.of(this.role).acknowledge({
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'Traces are not resources: X-Ray takes no other resource than *.',
      })
  }
}

/** @param scope where the variables are used */
export function environmentOf(
  scope: Construct,
  props: Pick<HighwaterFunctionProps, 'storage' | 'settings' | 'cors' | 'publicUrl' | 'service'>,
): Record<string, string> {
  const settings = settingsThatDiffer(props.settings)
  const { bucket, table } = props.storage
  return {
    HIGHWATER_BUCKET: inStackOf(scope, bucket, bucket.bucketName),
    HIGHWATER_TABLE: inStackOf(scope, table, table.tableName),
    ...(Object.keys(settings).length === 0 ? {} : { HIGHWATER_SETTINGS: JSON.stringify(settings) }),
    ...(props.cors.length === 0 ? {} : { HIGHWATER_CORS: props.cors.join(',') }),
    ...(props.publicUrl === undefined ? {} : { HIGHWATER_PUBLIC_URL: props.publicUrl }),
    POWERTOOLS_SERVICE_NAME: props.service,
    POWERTOOLS_METRICS_NAMESPACE: metricsNamespace,
    POWERTOOLS_LOG_LEVEL: 'INFO',
  }
}

/** May write to its log, and do to the storage what permissions.ts lists. */
export function roleOf(
  scope: Construct,
  { name, storage, settings }: Pick<HighwaterFunctionProps, 'name' | 'storage' | 'settings'>,
  logGroup: LogGroup,
): { readonly role: Role; readonly policies: readonly Policy[] } {
  const role = new Role(scope, 'Role', {
    assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    description: `Highwater: ${name}`,
  })
  // The bucket's policy lets only this tag delete segments: it works across stacks, where a reference would be a circle.
  if (name === 'sweep') Tags.of(role).add(sweepTag.key, sweepTag.value)
  const policies: Policy[] = []
  const policy = (id: string, statements: PolicyStatement[]): Policy | undefined => {
    if (statements.length === 0) return undefined
    const made = new Policy(scope, id, { roles: [role], statements })
    policies.push(made)
    return made
  }
  policy('Logging', [
    new PolicyStatement({
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [logGroup.logGroupArn],
    }),
  ])
  const permissions = permissionsOf(name, settings)
  const statements = (kind: Permission['on']['kind']) =>
    permissions.filter(({ on }) => on.kind === kind).map((permission) => statementOf(permission, storage))
  policy('Items', statements('items'))
  policy('Stream', storage.streamArn === undefined ? [] : statements('stream'))
  const objects = policy('Objects', [...statements('objects'), ...statements('bucket')])
  if (objects !== undefined)
    Validations.of(objects).acknowledge({
      id: `AwsSolutions-IAM5[Resource::${namedInFindings(scope, storage)}/segments/*]`,
      reason: 'All segments: which ones a request needs is known when it comes. There is nothing else in the bucket.',
    })
  return { role, policies }
}

function statementOf({ actions, on }: Permission, { bucket, table, streamArn }: HighwaterStorage): PolicyStatement {
  const base = { effect: Effect.ALLOW, actions: [...actions] }
  switch (on.kind) {
    case 'objects':
      return new PolicyStatement({ ...base, resources: [bucket.arnForObjects(`${on.prefix}*`)] })
    case 'bucket':
      // No condition on a prefix: a request for an object has none, and would be answered as if this were not allowed.
      return new PolicyStatement({ ...base, resources: [bucket.bucketArn] })
    case 'items':
      return new PolicyStatement({
        ...base,
        resources: [table.tableArn],
        // Every action of permissions.ts names the keys of its items, so "all of none" does not arise.
        conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [...on.collections] } },
      })
    case 'stream':
      return new PolicyStatement({ ...base, resources: streamArn === undefined ? [] : [streamArn] })
    default:
      return on satisfies never
  }
}

/**
 * What refers to a value of another stack, written out: the CDK finds out by itself, but a Web Function's code copy takes the
 * properties of its revision before that.
 */
function inStackOf(scope: Construct, holder: Construct, value: string): string {
  const isHere = Stack.of(holder) === Stack.of(scope) || !Token.isUnresolved(value)
  return isHere ? value : Stack.of(holder).exportValue(value)
}

/** The bucket as cdk-nag writes it: where it is in another stack, by the name of what that stack exports. */
function namedInFindings(scope: Construct, { bucket }: HighwaterStorage): string {
  const resolved = Stack.of(bucket).resolve(inStackOf(scope, bucket, bucket.bucketArn)) as
    | { readonly 'Fn::GetAtt': readonly [string, string] }
    | { readonly 'Fn::ImportValue': string }
  return 'Fn::GetAtt' in resolved ? `<${resolved['Fn::GetAtt'].join('.')}>` : resolved['Fn::ImportValue']
}
