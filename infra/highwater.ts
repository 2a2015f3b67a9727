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
import { Merging } from './merging.ts'
import type { FunctionName } from './permissions.ts'
import { Queries } from './queries.ts'
import { gatewayRoutes, type Work } from './routes.ts'
import { HighwaterStorage } from './storage.ts'
import { HighwaterWeb, type HighwaterWebProps } from './web-functions.ts'

/** Each look costs 36 listings, two cents a month: objects that nobody names can wait. */
const sweepIntervalMsDefault = 6 * 60 * 60 * 1_000

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
   * What answers: a function for each work behind an HTTP API, or everything in one Lambda Web Function, which has no routes
   * to grant one by one.
   * @default 'functions'
   */
  readonly compute?: 'functions' | 'web'
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
   * Of single functions: memory, how many at the same time, another entry, more environment.
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
  /**
   * A saved query of CloudWatch Logs Insights that says what each topic costs.
   * @default true
   */
  readonly savedQueries?: boolean
}

const defaultThrottle: Throttle = { rate: 1_000, burst: 2_000 }
const defaultAdminThrottle: Throttle = { rate: 50, burst: 100 }

/** What answers requests. */
interface Compute {
  readonly url: string
  readonly api?: HighwaterApi
  readonly web?: HighwaterWeb
  readonly functions: Readonly<Partial<Record<FunctionName, HighwaterFunction>>>
  /** Streams what `functions.fetch` answers whole. */
  readonly fetchStream?: HighwaterFunction
  readonly functionUrls?: { readonly produce: FunctionUrl; readonly fetch: FunctionUrl }
}

export class Highwater extends Construct {
  readonly storage: HighwaterStorage
  readonly auth: Auth
  /** Where clients reach it, with a slash at the end. */
  readonly url: string
  /** With compute `functions`. */
  readonly api?: HighwaterApi
  /** With compute `web`. */
  readonly web?: HighwaterWeb
  readonly functions: Readonly<Partial<Record<FunctionName, HighwaterFunction>>>
  /** Where they were asked for. */
  readonly functionUrls?: { readonly produce: FunctionUrl; readonly fetch: FunctionUrl }
  readonly maintenance: Maintenance
  /** Where the table has a stream. */
  readonly merging?: Merging
  readonly alarms?: Alarms
  readonly dashboard?: Dashboard

  constructor(scope: Construct, id: string, props: HighwaterProps = {}) {
    super(scope, id)
    const { auth = { kind: 'iam' }, settings = {}, alarms = true, dashboard = true } = props
    this.auth = auth
    this.storage = props.storage ?? new HighwaterStorage(this, 'Storage')
    if (auth.kind === 'none')
      Annotations.of(this).addWarningV2(
        'highwater:auth-none',
        'auth=none: everybody who finds the URL can read, write and delete everything, at your cost.',
      )

    const service = this.node.path.replaceAll('/', '-')
    const common = {
      storage: this.storage,
      settings,
      cors: props.cors ?? [],
      logRetention: props.logRetention ?? RetentionDays.ONE_MONTH,
      service,
      ...(props.publicUrl === undefined ? {} : { publicUrl: props.publicUrl }),
    }
    const make: MakeFunction = (name, as = nameOf(name), environment = {}) =>
      new HighwaterFunction(this, as, {
        ...common,
        name,
        tracing: props.tracing ?? false,
        ...props.functions?.[name],
        environment: { ...props.functions?.[name]?.environment, ...environment },
      })
    const maintain = make('maintain')
    const merge = make('merge')
    const sweep = make('sweep')
    const compute = props.compute === 'web' ? this.#web(common) : this.#functions(make, props)
    const { api, web, fetchStream, functionUrls } = compute
    this.url = compute.url
    if (api !== undefined) this.api = api
    if (web !== undefined) this.web = web
    if (functionUrls !== undefined) this.functionUrls = functionUrls
    this.functions = { ...compute.functions, maintain, merge, sweep }
    this.maintenance = new Maintenance(this, 'Maintenance', {
      maintain,
      ...(settings.maintainIntervalMs === undefined ? {} : { intervalMs: settings.maintainIntervalMs }),
    })

    const { streamArn } = this.storage
    if (streamArn === undefined)
      Annotations.of(this).addInfoV2(
        'highwater:no-stream',
        'The table is not made here, so its stream is not known: small chunks are merged by the daily round of upkeep only (maintainRoundMs).',
      )
    else
      this.merging = new Merging(this, 'Merging', {
        merge,
        streamArn,
        ...(settings.mergeIntervalMs === undefined ? {} : { windowMs: settings.mergeIntervalMs }),
      })

    new Maintenance(this, 'Sweeping', {
      maintain: sweep,
      intervalMs: settings.sweepIntervalMs ?? sweepIntervalMsDefault,
    })

    const keeping = [maintain, merge, sweep]
    const answering = [...Object.values(compute.functions), ...(fetchStream === undefined ? [] : [fetchStream])]
    const watched = { service, storage: this.storage, ...(api === undefined ? {} : { api }) }
    if (alarms !== false)
      this.alarms = new Alarms(this, 'Alarms', {
        ...watched,
        maintain,
        merge,
        maintenance: this.maintenance,
        // Who asks for a verification sees how it ends.
        functions: answering.filter(({ name }) => name !== 'verify'),
        ...(alarms === true ? {} : { topic: alarms.topic }),
      })
    const logGroups = [
      ...(web === undefined ? [] : [web.logGroup]),
      ...[...answering, ...keeping].map(({ logGroup }) => logGroup),
    ]
    if (props.savedQueries !== false) new Queries(this, 'Queries', { service, logGroups })
    if (dashboard)
      this.dashboard = new Dashboard(this, 'Dashboard', {
        ...watched,
        functions: [...answering, ...keeping],
        logGroups: [...(api === undefined ? [] : [api.accessLogs]), ...logGroups],
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

  /** Lets the grantee create, alter, verify and delete topics, with signed requests. Reading and writing records is not part of it. */
  grantAdmin(grantee: IGrantable): Grant {
    return this.#grant(grantee, ['admin', 'verify'])
  }

  #grant(grantee: IGrantable, works: Work[], url?: FunctionUrl): Grant {
    if (this.auth.kind !== 'iam')
      throw new Error(`grants are for auth iam; with auth ${this.auth.kind} callers are let in by other means`)
    const granted = [
      this.api?.grantInvoke(grantee, ...works),
      this.web?.grantInvoke(grantee),
      url?.grantInvokeUrl(grantee),
    ].filter((grant) => grant !== undefined)
    return granted.reduce((all, grant) => all.combine(grant))
  }

  #functions(make: MakeFunction, props: HighwaterProps): Compute {
    const { auth = this.auth, cors = [], logRetention = RetentionDays.ONE_MONTH } = props
    const works = [...new Set(gatewayRoutes.map(({ work }) => work))]
    const byWork = Object.fromEntries(works.map((work) => [work, make(work)])) as Record<Work, HighwaterFunction>
    const functions = { ...byWork, ...(auth.kind === 'api-keys' ? { authorize: make('authorize') } : {}) }
    const api = new HighwaterApi(this, 'Http', {
      functions,
      auth,
      cors,
      throttle: props.throttle ?? defaultThrottle,
      adminThrottle: props.adminThrottle ?? defaultAdminThrottle,
      logRetention,
    })
    if (props.functionUrls !== true) return { url: api.url, api, functions }
    const fetchStream = make('fetch', 'FetchStream', { HIGHWATER_STREAM_ANSWERS: 'true' })
    return {
      url: api.url,
      api,
      functions,
      fetchStream,
      functionUrls: this.#functionUrls(byWork.produce, fetchStream, cors),
    }
  }

  #web(common: Omit<HighwaterWebProps, 'auth'>): Compute {
    const web = new HighwaterWeb(this, 'Web', { ...common, auth: this.auth })
    return { url: web.url, web, functions: {} }
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

type MakeFunction = (name: FunctionName, as?: string, environment?: Record<string, string>) => HighwaterFunction

function nameOf(name: FunctionName): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}
