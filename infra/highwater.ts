/**
 * A log in a stack of yours:
 *
 *     const log = new Highwater(this, 'Log', { auth: { kind: 'iam' } })
 *     log.grantProduce(ordersFunction)
 *     log.grantConsume(reportsFunction)
 *     ordersFunction.addEnvironment('HIGHWATER_URL', log.url)
 */
import { Annotations, Duration } from 'aws-cdk-lib'
import type { Grant, IGrantable } from 'aws-cdk-lib/aws-iam'
import { type FunctionUrl, FunctionUrlAuthType, HttpMethod, InvokeMode } from 'aws-cdk-lib/aws-lambda'
import { RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import { Construct } from 'constructs'
import type { Settings } from '../lib/core/settings.ts'
import { allowedHeaders, exposedHeaders } from '../lib/http/cors.ts'
import { Alarms } from './alarms.ts'
import { HighwaterApi, type Throttle } from './api.ts'
import type { Auth } from './contexts.ts'
import { Dashboard } from './dashboard.ts'
import { type FunctionOptions, HighwaterFunction } from './functions.ts'
import { Maintenance } from './maintenance.ts'
import type { FunctionName } from './permissions.ts'
import { gatewayRoutes, type Work } from './routes.ts'
import { HighwaterStorage } from './storage.ts'

export interface HighwaterProps {
  /**
   * Where the data is, such as in a stack of its own.
   * @default made here, retained and protected
   */
  readonly storage?: HighwaterStorage
  /**
   * Who may call.
   * @default { kind: 'iam' }: who is granted to, with requests signed by SigV4
   */
  readonly auth?: Auth
  /**
   * Origins whose pages may call from a browser, `*` for every one.
   * @default none
   */
  readonly cors?: readonly string[]
  /**
   * URLs of the produce and the fetch function beside the API, for large and streamed bodies. They check signatures (auth
   * `none`: nothing); tokens and API keys are for the API only.
   * @default false
   */
  readonly functionUrls?: boolean
  /**
   * Settings of the log that differ from their defaults.
   * @default none
   */
  readonly settings?: Partial<Settings>
  /**
   * Requests that the API takes, all routes together; more are answered with 429.
   * @default 1,000 per second, 2,000 at once: what a new account's functions can take
   */
  readonly throttle?: Throttle
  /**
   * The same for each route of administration.
   * @default 50 per second, 100 at once
   */
  readonly adminThrottle?: Throttle
  /**
   * AWS X-Ray traces of the functions.
   * @default false
   */
  readonly tracing?: boolean
  /**
   * How long logs are kept.
   * @default a month
   */
  readonly logRetention?: RetentionDays
  /**
   * Where clients reach the API, such as a domain of yours.
   * @default what each request names
   */
  readonly publicUrl?: string
  /**
   * Of single functions: memory, another entry, more environment.
   * @default none
   */
  readonly functions?: Readonly<Partial<Record<FunctionName, FunctionOptions>>>
  /**
   * Alarms, and whom they tell.
   * @default alarms that tell nobody
   */
  readonly alarms?: boolean | { readonly topic: ITopic }
  /**
   * A dashboard in CloudWatch.
   * @default true
   */
  readonly dashboard?: boolean
}

const defaultThrottle: Throttle = { rate: 1_000, burst: 2_000 }
const defaultAdminThrottle: Throttle = { rate: 50, burst: 100 }

export class Highwater extends Construct {
  readonly storage: HighwaterStorage
  readonly auth: Auth
  readonly api: HighwaterApi
  /** Of the API, with a slash at the end. */
  readonly url: string
  readonly functions: Readonly<Partial<Record<FunctionName, HighwaterFunction>>>
  /** Where they were asked for. */
  readonly functionUrls: { readonly produce: FunctionUrl; readonly fetch: FunctionUrl } | undefined
  readonly maintenance: Maintenance
  readonly alarms?: Alarms
  readonly dashboard?: Dashboard

  constructor(scope: Construct, id: string, props: HighwaterProps = {}) {
    super(scope, id)
    const { auth = { kind: 'iam' }, cors = [], settings = {}, logRetention = RetentionDays.ONE_MONTH } = props
    this.auth = auth
    this.storage = props.storage ?? new HighwaterStorage(this, 'Storage')
    if (auth.kind === 'none')
      Annotations.of(this).addWarningV2(
        'highwater:auth-none',
        'auth=none: everybody who finds the URL can read, write and delete everything, at your cost.',
      )

    const service = this.node.path.replaceAll('/', '-')
    const make = (name: FunctionName, id = nameOf(name), environment: Record<string, string> = {}) =>
      new HighwaterFunction(this, id, {
        name,
        storage: this.storage,
        settings,
        cors,
        tracing: props.tracing ?? false,
        logRetention,
        service,
        ...(props.publicUrl === undefined ? {} : { publicUrl: props.publicUrl }),
        ...props.functions?.[name],
        environment: { ...props.functions?.[name]?.environment, ...environment },
      })
    const works = [...new Set(gatewayRoutes.map(({ work }) => work))]
    const byWork = Object.fromEntries(works.map((work) => [work, make(work)])) as Record<Work, HighwaterFunction>
    const maintain = make('maintain')
    const authorize = auth.kind === 'api-keys' ? make('authorize') : undefined
    this.functions = { ...byWork, maintain, ...(authorize === undefined ? {} : { authorize }) }

    this.api = new HighwaterApi(this, 'Http', {
      functions: this.functions,
      auth,
      cors,
      throttle: props.throttle ?? defaultThrottle,
      adminThrottle: props.adminThrottle ?? defaultAdminThrottle,
      logRetention,
    })
    this.url = this.api.url
    const fetchStream =
      props.functionUrls === true ? make('fetch', 'FetchStream', { HIGHWATER_STREAM_ANSWERS: 'true' }) : undefined
    this.functionUrls = fetchStream && this.#functionUrls(byWork.produce, fetchStream, cors)
    this.maintenance = new Maintenance(this, 'Maintenance', {
      maintain,
      ...(settings.maintainIntervalMs === undefined ? {} : { intervalMs: settings.maintainIntervalMs }),
    })

    const { alarms = true, dashboard = true } = props
    const functions = [...Object.values(this.functions), ...(fetchStream === undefined ? [] : [fetchStream])]
    if (alarms !== false)
      this.alarms = new Alarms(this, 'Alarms', {
        service,
        storage: this.storage,
        maintain,
        maintenance: this.maintenance,
        functions: functions.filter((each) => each !== maintain),
        api: this.api,
        ...(alarms === true ? {} : { topic: alarms.topic }),
      })
    if (dashboard)
      this.dashboard = new Dashboard(this, 'Dashboard', {
        service,
        storage: this.storage,
        functions,
        api: this.api,
        logGroups: [this.api.accessLogs, ...functions.map(({ logGroup }) => logGroup)],
        alarms: Object.values(this.alarms?.alarms ?? {}),
      })
  }

  /** Lets the grantee produce to every topic, with signed requests. */
  grantProduce(grantee: IGrantable): Grant {
    return this.#grant(grantee, ['produce'], this.functionUrls?.produce)
  }

  /** Lets the grantee read every topic, alone or as a member of a group, with signed requests. */
  grantConsume(grantee: IGrantable): Grant {
    return this.#grant(grantee, ['fetch', 'consume'], this.functionUrls?.fetch)
  }

  /** Lets the grantee create, alter and delete topics, with signed requests. Reading and writing records is not part of it. */
  grantAdmin(grantee: IGrantable): Grant {
    return this.#grant(grantee, ['admin'])
  }

  #grant(grantee: IGrantable, works: Work[], url?: FunctionUrl): Grant {
    if (this.auth.kind !== 'iam')
      throw new Error(`grants are for auth iam; with auth ${this.auth.kind} callers are let in by other means`)
    const grant = this.api.grantInvoke(grantee, ...works)
    return url === undefined ? grant : grant.combine(url.grantInvokeUrl(grantee))
  }

  /** `fetchStream` writes its answers as streams, which the API could not read: a function of its own. */
  #functionUrls(produce: HighwaterFunction, fetchStream: HighwaterFunction, cors: readonly string[]) {
    const options = {
      authType: this.auth.kind === 'none' ? FunctionUrlAuthType.NONE : FunctionUrlAuthType.AWS_IAM,
      ...(cors.length === 0
        ? {}
        : {
            cors: {
              allowedOrigins: [...cors],
              allowedMethods: [HttpMethod.ALL],
              allowedHeaders: [...allowedHeaders],
              exposedHeaders: [...exposedHeaders],
              maxAge: Duration.days(1),
            },
          }),
    }
    return {
      produce: produce.function.addFunctionUrl({ ...options, invokeMode: InvokeMode.BUFFERED }),
      fetch: fetchStream.function.addFunctionUrl({ ...options, invokeMode: InvokeMode.RESPONSE_STREAM }),
    }
  }
}

function nameOf(name: FunctionName): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}
