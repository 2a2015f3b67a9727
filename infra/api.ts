/** The HTTP API: a route per entry of the app's table, each to the function of its work; everything else to admin, whose 404 is ours. */
import { Duration, Names, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib'
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway'
import {
  type CfnIntegration,
  type CfnStage,
  CorsHttpMethod,
  HttpApi,
  HttpMethod,
  HttpRoute,
  HttpRouteKey,
  HttpStage,
  type IHttpRouteAuthorizer,
  LogGroupLogDestination,
} from 'aws-cdk-lib/aws-apigatewayv2'
import {
  HttpIamAuthorizer,
  HttpJwtAuthorizer,
  HttpLambdaAuthorizer,
  HttpLambdaResponseType,
} from 'aws-cdk-lib/aws-apigatewayv2-authorizers'
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations'
import { Grant, type IGrantable, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { allowedHeaders, exposedHeaders } from '../lib/http/cors.ts'
import type { Need } from '../lib/http/route.ts'
import type { Auth } from './contexts.ts'
import type { HighwaterFunction } from './functions.ts'
import { type GatewayRoute, gatewayRoutes, invokePatterns, type Work } from './routes.ts'

export interface Throttle {
  /** Requests per second, over a while. */
  readonly rate: number
  /** Requests at once. */
  readonly burst: number
}

export interface HighwaterApiProps {
  readonly functions: Readonly<Partial<Record<Work | 'authorize', HighwaterFunction>>>
  readonly auth: Auth
  readonly cors: readonly string[]
  readonly throttle: Throttle
  readonly adminThrottle: Throttle
  readonly logRetention: RetentionDays
}

/** How long the gateway believes what the authorizer said of a key and a route: a revoked key works for this much longer. */
const authorizerCacheTtl = Duration.minutes(5)

/**
 * A line per request: who asked for what, what the answer was and why. No header, no query string, no body: keys and records
 * do not belong in logs.
 */
const accessLogFields = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  ip: '$context.identity.sourceIp',
  user: '$context.identity.userArn',
  key: '$context.authorizer.keyId',
  subject: '$context.authorizer.claims.sub',
  keyId: '$context.authorizer.keyId',
  refused: '$context.authorizer.reason',
  method: '$context.httpMethod',
  path: '$context.path',
  route: '$context.routeKey',
  status: '$context.status',
  reason: '$context.error.message',
  authorizerError: '$context.authorizer.error',
  integrationError: '$context.integrationErrorMessage',
  integrationStatus: '$context.integration.status',
  responseBytes: '$context.responseLength',
  latencyMs: '$context.responseLatency',
  integrationLatencyMs: '$context.integrationLatency',
} as const

export class HighwaterApi extends Construct {
  readonly api: HttpApi
  readonly stage: HttpStage
  readonly accessLogs: LogGroup
  readonly url: string

  constructor(scope: Construct, id: string, props: HighwaterApiProps) {
    super(scope, id)
    const { functions, auth, cors } = props
    this.api = new HttpApi(this, 'Api', {
      apiName: this.node.path.replaceAll('/', '-'),
      description: 'Highwater',
      createDefaultStage: false,
      ...(cors.length === 0
        ? {}
        : {
            corsPreflight: {
              allowOrigins: [...cors],
              allowMethods: [CorsHttpMethod.ANY],
              allowHeaders: [...allowedHeaders],
              exposeHeaders: [...exposedHeaders],
              maxAge: Duration.days(1),
            },
          }),
    })

    const authorizer = this.#authorizer(auth, functions.authorize)
    const integrations = new Map<Work, HttpLambdaIntegration>()
    const integrationOf = (work: Work): HttpLambdaIntegration => {
      const known = integrations.get(work)
      if (known !== undefined) return known
      const made = functions[work]
      if (made === undefined) throw new Error(`there are routes for ${work}, and no function`)
      const integration = new HttpLambdaIntegration(`${work}Integration`, made.function, {
        // One permission for all routes: a policy of a function holds 20 KB, about sixty of them.
        scopePermissionToRoute: false,
      })
      integrations.set(work, integration)
      return integration
    }
    // The gateway refuses who shows no key before the authorizer is asked: what asks for none has no authorizer.
    const isOpen = ({ need }: GatewayRoute) => auth.kind === 'api-keys' && need === 'anybody'
    const routes = gatewayRoutes.map((route) => {
      const { method, path, work } = route
      const made = new HttpRoute(this, `${method} ${path}`, {
        httpApi: this.api,
        routeKey: HttpRouteKey.with(path, HttpMethod[method]),
        integration: integrationOf(work),
        ...(authorizer === undefined || isOpen(route) ? {} : { authorizer }),
        ...scopesOf(auth, route.need),
      })
      pinIntegration(this, made, work)
      if (isOpen(route))
        Validations.of(made).acknowledge({
          id: 'AwsSolutions-APIG4',
          reason: 'Says that it is well, and nothing else: for those who watch, and have no key.',
        })
      return made
    })
    routes.push(
      new HttpRoute(this, 'Default', {
        httpApi: this.api,
        routeKey: HttpRouteKey.DEFAULT,
        integration: integrationOf('admin'),
        ...(authorizer === undefined ? {} : { authorizer }),
        ...scopesOf(auth, 'admin'),
      }),
    )
    // The permission of all routes asks for a method and a path, which this one does not have.
    functions.admin?.function.addPermission('DefaultRoute', {
      principal: new ServicePrincipal('apigateway.amazonaws.com'),
      sourceArn: this.#arn('*/$default'),
    })
    if (auth.kind === 'none')
      for (const route of routes)
        Validations.of(route).acknowledge({
          id: 'AwsSolutions-APIG4',
          reason: 'auth=none was asked for by name, and a synth says what that means.',
        })

    this.accessLogs = new LogGroup(this, 'AccessLogs', {
      // Logs of this name need no entry in the account's resource policy, which has room for about ten.
      logGroupName: `/aws/vendedlogs/highwater/${Stack.of(this).stackName}/${this.node.addr.slice(0, 8)}`,
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    })
    this.stage = new HttpStage(this, 'Stage', {
      httpApi: this.api,
      autoDeploy: true,
      throttle: { rateLimit: props.throttle.rate, burstLimit: props.throttle.burst },
      accessLogSettings: {
        destination: new LogGroupLogDestination(this.accessLogs),
        format: AccessLogFormat.custom(JSON.stringify(accessLogFields)),
      },
    })
    const stage = this.stage.node.defaultChild as CfnStage
    // Keys as the service has them, since this is passed on as it is.
    stage.routeSettings = Object.fromEntries(
      gatewayRoutes
        .filter(({ work }) => work === 'admin' || work === 'verify')
        .map(({ method, path }) => [
          `${method} ${path}`,
          { ThrottlingRateLimit: props.adminThrottle.rate, ThrottlingBurstLimit: props.adminThrottle.burst },
        ]),
    )
    // A setting of a route that is not there yet is refused.
    this.stage.node.addDependency(...routes)
    this.url = this.stage.url
  }

  /** Lets sign requests for the routes of these works, with auth=iam. */
  grantInvoke(grantee: IGrantable, ...works: Work[]): Grant {
    return Grant.addToPrincipal({
      grantee,
      actions: ['execute-api:Invoke'],
      resourceArns: invokePatterns(...works).map((pattern) => this.#arn(`*/${pattern}`)),
    })
  }

  /** @param request stage, method and path */
  #arn(request: string): string {
    return Stack.of(this).formatArn({ service: 'execute-api', resource: this.api.apiId, resourceName: request })
  }

  #authorizer(auth: Auth, authorize: HighwaterFunction | undefined): IHttpRouteAuthorizer | undefined {
    switch (auth.kind) {
      case 'iam':
        return new HttpIamAuthorizer()
      case 'jwt':
        return new HttpJwtAuthorizer('Tokens', auth.issuer, { jwtAudience: [...auth.audience] })
      case 'api-keys':
        if (authorize === undefined) throw new Error('API keys need the function that checks them')
        return new HttpLambdaAuthorizer('Keys', authorize.function, {
          responseTypes: [HttpLambdaResponseType.SIMPLE],
          // The route is part of what is cached: a key that may fetch must not be remembered as one that may produce.
          identitySource: ['$request.header.Authorization', '$context.routeKey'],
          resultsCacheTtl: authorizerCacheTtl,
        })
      case 'none':
        return undefined
      default:
        return auth satisfies never
    }
  }
}

/** Of a token, one of which it must have; none for what is open to every caller. */
function scopesOf(auth: Auth, need: Need): { readonly authorizationScopes?: string[] } {
  if (auth.kind !== 'jwt' || auth.scopePrefix === undefined || need === 'any-key' || need === 'anybody') return {}
  return { authorizationScopes: [`${auth.scopePrefix}${need}`] }
}

/**
 * The first route of an integration holds it, and names it. Whichever that is, the integration stays the same one: a new route
 * in front must not send all others to a new integration.
 */
function pinIntegration(api: HighwaterApi, route: HttpRoute, work: Work): void {
  const held = route.node.tryFindChild(`${work}Integration`)?.node.defaultChild as CfnIntegration | undefined
  held?.overrideLogicalId(`${Names.nodeUniqueId(api.node)}${work}Integration`)
}
