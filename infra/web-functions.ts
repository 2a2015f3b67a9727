/**
 * All routes in one Lambda Web Function: a server that takes many requests at once, so that appends are gathered into one
 * segment and a waiting poll costs no processor time. Synthesised and asserted only: no local AWS that was tried has Web
 * Functions (docs/operations.md).
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Annotations, AssetHashType, DockerImage, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib'
import type { Grant, IGrantable } from 'aws-cdk-lib/aws-iam'
import {
  ApplicationLogLevel,
  SystemLogLevel,
  WebFunction,
  WebFunctionAuthType,
  WebFunctionCode,
  WebFunctionRuntime,
} from 'aws-cdk-lib/aws-lambda'
import { LogGroup } from 'aws-cdk-lib/aws-logs'
import type { Bucket } from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import { buildSync } from 'esbuild'
import { esbuildOptions } from './bundling.ts'
import type { Auth } from './contexts.ts'
import { environmentOf, type HighwaterFunctionProps, roleOf, root } from './functions.ts'

export interface HighwaterWebProps extends Omit<HighwaterFunctionProps, 'name' | 'memoryMb' | 'tracing'> {
  readonly auth: Auth
}

/** Requests at once in one environment, the most there may be: a poll that waits takes a place and little else. */
const requestsPerEnvironment = 128
/** A long poll and then some. */
const timeout = Duration.seconds(60)

export class HighwaterWeb extends Construct {
  readonly function: WebFunction
  readonly logGroup: LogGroup
  /** With a slash at the end. */
  readonly url: string

  constructor(scope: Construct, id: string, props: HighwaterWebProps) {
    super(scope, id)
    this.logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    })
    if (props.auth.kind === 'jwt') throw new Error('a Web Function checks signatures, API keys or nothing, not tokens')
    if (props.auth.kind !== 'iam')
      Annotations.of(this).acknowledgeWarning(
        '@aws-cdk/aws-lambda:webFunctionPublicEndpoint',
        props.auth.kind === 'none'
          ? 'auth=none was asked for by name, and has a warning of its own.'
          : 'The server behind it refuses whoever shows no API key.',
      )
    const { role, policies } = roleOf(this, { ...props, name: 'web' }, this.logGroup)
    this.function = new WebFunction(this, 'Function', {
      code: codeOf(props.entry ?? join(root, 'functions/web.ts')),
      runtime: WebFunctionRuntime.NODEJS_24_X,
      role,
      environment: {
        ...environmentOf(this, props),
        NODE_OPTIONS: '--enable-source-maps',
        ...props.environment,
        ...(props.auth.kind === 'api-keys' ? { HIGHWATER_REQUIRE_KEYS: 'true' } : {}),
      },
      applicationLogLevel: ApplicationLogLevel.INFO,
      systemLogLevel: SystemLogLevel.WARN,
      logGroup: this.logGroup,
      timeout,
      maxConcurrencyPerEnvironment: requestsPerEnvironment,
      defaultEndpointAuth:
        // An endpoint knows signatures only: API keys are asked for by the server itself.
        props.auth.kind === 'iam' ? WebFunctionAuthType.IAM_AUTH : WebFunctionAuthType.APPLICATION_MANAGED,
      defaultEndpoint: { endpointDescription: 'Highwater' },
    })
    this.function.resourceRevision.node.addDependency(...policies)
    acknowledgeCodeCopy(Stack.of(this))
    this.url = `https://${this.function.endpoint.domainName}/`
  }

  /** Lets the grantee call, with signed requests: everything, since routes are not told apart by who may call. */
  grantInvoke(grantee: IGrantable): Grant {
    return this.function.endpoint.grants.invoke(grantee)
  }
}

/**
 * `index.js` is what the runtime starts. The bucket is made by the CDK as Web Functions need it: versioned, since a revision
 * is a version of an object, and readable for Lambda, which the bucket of a bootstrap is not.
 */
function codeOf(entry: string): WebFunctionCode {
  return WebFunctionCode.fromAssetToManagedBucket(root, {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      image: DockerImage.fromRegistry('not-used'),
      local: {
        tryBundle(directory) {
          buildSync({
            ...esbuildOptions,
            absWorkingDir: root,
            entryPoints: [entry],
            outfile: join(directory, 'index.js'),
            logLevel: 'warning',
          })
          writeFileSync(join(directory, 'package.json'), '{"type":"module"}\n')
          return true
        },
      },
    },
  })
}

/** Of what the CDK brings along to put code into that bucket, for cdk-nag; nothing of it touches the log. */
function acknowledgeCodeCopy(stack: Stack): void {
  const copies = stack.node.children.filter(({ node }) => node.id.startsWith('Custom::S3ObjectCopy'))
  const bucket = stack.node.tryFindChild('AWSCDKWebFunctionAssetBucket') as Bucket | undefined
  if (bucket === undefined) throw new Error('the bucket for the code of Web Functions is not where it was')
  Validations.of(bucket).acknowledge({
    id: 'AwsSolutions-S1',
    reason: 'It holds the code, which is no secret, and is read by Lambda alone.',
  })
  const name = (stack.resolve(bucket.bucketArn) as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'].join('.')
  for (const copy of copies)
    Validations.of(copy).acknowledge(
      {
        id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]',
        reason: "The function is the CDK's. It runs when the stack is deployed, and the policy lets it write its log.",
      },
      ...['Action::s3:Abort*', 'Action::s3:DeleteObject*', `Resource::<${name}>/web-function/*`].map((finding) => ({
        id: `AwsSolutions-IAM5[${finding}]`,
        reason:
          "The CDK's function writes code, and deletes what no revision needs, below this prefix of the code bucket.",
      })),
      {
        id: 'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-<AWS::AccountId>-<AWS::Region>/*]',
        reason:
          "The CDK's function reads the code from the bucket of the bootstrap, where every version has another key.",
      },
    )
}
