/**
 * What `-c name=value` (or cdk.json) may say, checked as a whole: an unknown name or a contradiction is an error that names
 * it, since a mistyped `auth` must not deploy the default.
 */
import { functionSettings } from '../functions/settings.ts'
import { defaultSettings, type Settings } from '../lib/core/settings.ts'

/**
 * Who may call. `jwt`: tokens of that issuer for one of these audiences; with `scopePrefix`, a token does only the work (`produce`,
 * `fetch`, `consume`, `admin`) that one of its scopes names after that prefix. `none`: everybody.
 */
export type Auth =
  | { readonly kind: 'iam' }
  | {
      readonly kind: 'jwt'
      readonly issuer: string
      readonly audience: readonly string[]
      readonly scopePrefix?: string
    }
  | { readonly kind: 'api-keys' }
  | { readonly kind: 'none' }

export interface Deployment {
  readonly stage: string
  /** Storage goes with the stack, data included. Otherwise it is retained and protected. */
  readonly isDisposable: boolean
  readonly stacks: 'one' | 'separate'
  readonly compute: 'functions' | 'web'
  readonly auth: Auth
  readonly cors: readonly string[]
  readonly functionUrls: boolean
  readonly alarms: boolean
  /** Told of alarms. */
  readonly alarmTopicArn?: string
  readonly dashboard: boolean
  readonly savedQueries: boolean
  readonly tracing: boolean
  /** Executions at the same time of each function that reads records. */
  readonly fetchConcurrencyMax?: number
  /** To work on instead of the stack's own. */
  readonly table?: string
  readonly settings: Partial<Settings>
}

export interface ContextEntry {
  readonly values: string
  readonly default: string
  readonly meaning: string
}

/** Each context with its meaning; docs/operations.md shows the same table. */
export const contextsTable = {
  stage: {
    values: 'a name of lower-case letters, digits and hyphens',
    default: 'production',
    meaning:
      'Part of the stack names, so that several can be in one account. `dev`, and what begins with `dev-`, is disposable: its data goes with the stack. Every other stage retains and protects its data.',
  },
  stacks: {
    values: '`one`, `separate`',
    default: '`one`',
    meaning: '`separate`: storage in a stack of its own; deploy with `--all`.',
  },
  compute: {
    values: '`functions`, `web`',
    default: '`functions`',
    meaning: '`web`: one Lambda Web Function instead of the HTTP API and its functions.',
  },
  auth: {
    values: '`iam`, `jwt`, `api-keys`, `none`',
    default: '`iam`',
    meaning: 'Who may call. `none`, everybody who finds the URL, warns at synth.',
  },
  jwtIssuer: { values: 'an https URL', default: 'none', meaning: 'With `auth=jwt`: who issues the tokens.' },
  jwtAudience: {
    values: 'names, separated by commas',
    default: 'none',
    meaning: 'With `auth=jwt`: one of these must be an audience of the token.',
  },
  jwtScopes: {
    values: 'what the scopes begin with, such as `highwater/`',
    default: 'none',
    meaning:
      'With `auth=jwt`: a token may only do the work that its scopes name: `highwater/produce`, `highwater/fetch`, `highwater/consume`, `highwater/admin`. Without it, every token may do everything.',
  },
  cors: {
    values: 'origins, separated by commas, or `*`',
    default: 'none',
    meaning: 'Origins whose pages may call the API from a browser.',
  },
  functionUrl: {
    values: '`true`, `false`',
    default: '`false`',
    meaning: 'URLs of the produce and the fetch function beside the HTTP API, for large and streamed bodies.',
  },
  alarms: { values: '`true`, `false`', default: '`true`', meaning: 'CloudWatch alarms.' },
  alarmTopicArn: {
    values: 'the ARN of an SNS topic',
    default: 'none',
    meaning: 'Where alarms are sent. Without it they can only be looked at.',
  },
  dashboard: { values: '`true`, `false`', default: '`true`', meaning: 'The CloudWatch dashboard.' },
  savedQueries: {
    values: '`true`, `false`',
    default: '`true`',
    meaning: 'A saved query of CloudWatch Logs Insights that says what each topic costs.',
  },
  fetchConcurrencyMax: {
    values: 'a whole number from 1 to 100,000',
    default: 'as much as the account has',
    meaning:
      'Executions at the same time of each function that reads records (fetch, consume, and that of the fetch URL), reserved for it: a storm of readers then takes nothing from producers. More are answered with 429 or 503.',
  },
  table: {
    values: 'the name of a table',
    default: "the stack's own",
    meaning: 'A restored table to work on ([Restoring](#restoring)). The stack keeps its own beside it.',
  },
  tracing: { values: '`true`, `false`', default: '`false`', meaning: 'AWS X-Ray traces of the functions.' },
  settings: {
    values: 'a JSON object',
    default: '`{}`',
    meaning: 'Settings of the log that differ from their defaults ([settings.md](settings.md)).',
  },
} as const satisfies Record<string, ContextEntry>

const stagePattern = /^[a-z][a-z0-9-]{0,29}$/
const topicArnPattern = /^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[\w.-]+$/

/** Names the CDK and its tools set for themselves: they have a colon or a slash. */
function isOurs(name: string): boolean {
  return !/[:/]/.test(name)
}

/** The deployment that the contexts describe, or every failure in one message. */
export function parseContexts(
  contexts: Readonly<Record<string, unknown>>,
): { readonly ok: true; readonly deployment: Deployment } | { readonly ok: false; readonly message: string } {
  const failures: string[] = []
  for (const name of Object.keys(contexts))
    if (isOurs(name) && !Object.hasOwn(contextsTable, name))
      failures.push(`there is no context ${name} (there are ${Object.keys(contextsTable).join(', ')})`)

  const text = (name: keyof typeof contextsTable): string | undefined => {
    const value = contexts[name]
    if (value === undefined || value === '') return undefined
    if (typeof value === 'string') return value
    failures.push(`${name} must be a text, not ${JSON.stringify(value)}`)
    return undefined
  }
  const oneOf = <Value extends string>(
    name: keyof typeof contextsTable,
    values: readonly [Value, ...Value[]],
  ): Value => {
    const value = text(name) ?? values[0]
    if (values.includes(value as Value)) return value as Value
    failures.push(`${name} must be one of ${values.join(', ')}, not ${value}`)
    return values[0]
  }
  const flag = (name: keyof typeof contextsTable, byDefault: boolean): boolean => {
    const value = contexts[name]
    if (value === undefined || value === '') return byDefault
    if (value === true || value === 'true') return true
    if (value === false || value === 'false') return false
    failures.push(`${name} must be true or false, not ${JSON.stringify(value)}`)
    return byDefault
  }
  const count = (name: keyof typeof contextsTable, max: number): number | undefined => {
    const value = contexts[name]
    if (value === undefined || value === '') return undefined
    const number = typeof value === 'number' || /^[0-9]{1,9}$/.test(String(value)) ? Number(value) : Number.NaN
    if (Number.isSafeInteger(number) && number >= 1 && number <= max) return number
    failures.push(`${name} must be a whole number from 1 to ${max}, not ${JSON.stringify(value)}`)
    return undefined
  }
  const list = (name: keyof typeof contextsTable): string[] =>
    (text(name) ?? '')
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '')

  const stage = text('stage') ?? 'production'
  if (!stagePattern.test(stage))
    failures.push(
      `stage must be up to 30 lower-case letters, digits and hyphens, beginning with a letter, not ${stage}`,
    )
  const isDisposable = stage === 'dev' || stage.startsWith('dev-')
  const stacks = oneOf('stacks', ['one', 'separate'])
  const compute = oneOf('compute', ['functions', 'web'])
  const cors = list('cors')
  for (const origin of cors)
    if (origin !== '*' && !/^https?:\/\/[^/]+$/.test(origin))
      failures.push(`cors must name origins like https://example.org, or *, not ${origin}`)
  const functionUrls = flag('functionUrl', false)
  const alarms = flag('alarms', true)
  const alarmTopicArn = text('alarmTopicArn')
  if (alarmTopicArn !== undefined && !topicArnPattern.test(alarmTopicArn))
    failures.push(`alarmTopicArn must be the ARN of an SNS topic, not ${alarmTopicArn}`)
  if (alarmTopicArn !== undefined && !alarms) failures.push('alarmTopicArn says where alarms go, but alarms=false')
  const tracing = flag('tracing', false)
  const fetchConcurrencyMax = count('fetchConcurrencyMax', 100_000)
  const table = text('table')
  if (table !== undefined && !/^[\w.-]{3,255}$/.test(table))
    failures.push(`table must be the name of a table of this account and region, not ${table}`)
  const auth = parseAuth()
  const settings = parseOwnSettings()

  if (compute === 'web') {
    if (auth.kind === 'jwt')
      failures.push('a Web Function checks signatures (auth=iam), API keys or nothing (auth=none), not auth=jwt')
    if (functionUrls)
      failures.push('functionUrl=true is for compute=functions: a Web Function has one URL for everything')
    if (fetchConcurrencyMax !== undefined)
      failures.push('fetchConcurrencyMax is for compute=functions: a Web Function reads and writes')
    if (tracing) failures.push('tracing=true is for compute=functions: a Web Function cannot be traced by X-Ray')
  }

  if (failures.length > 0) return { ok: false, message: `Cannot deploy so: ${failures.join('; ')}.` }
  return {
    ok: true,
    deployment: {
      stage,
      isDisposable,
      stacks,
      compute,
      auth,
      cors,
      functionUrls,
      alarms,
      ...(alarmTopicArn === undefined ? {} : { alarmTopicArn }),
      dashboard: flag('dashboard', true),
      savedQueries: flag('savedQueries', true),
      tracing,
      ...(fetchConcurrencyMax === undefined ? {} : { fetchConcurrencyMax }),
      ...(table === undefined ? {} : { table }),
      settings,
    },
  }

  function parseAuth(): Auth {
    const kind = oneOf('auth', ['iam', 'jwt', 'api-keys', 'none'])
    const issuer = text('jwtIssuer')
    const audience = list('jwtAudience')
    const scopePrefix = text('jwtScopes')
    if (kind !== 'jwt') {
      if (issuer !== undefined || audience.length > 0 || scopePrefix !== undefined)
        failures.push(`jwtIssuer, jwtAudience and jwtScopes are for auth=jwt, and this is auth=${kind}`)
      return { kind }
    }
    if (issuer === undefined || !/^https:\/\/[^/]/.test(issuer)) failures.push('auth=jwt needs jwtIssuer, an https URL')
    if (audience.length === 0) failures.push('auth=jwt needs jwtAudience')
    if (scopePrefix !== undefined && !/^[!#-[\]-~]{1,100}$/.test(scopePrefix))
      failures.push(`jwtScopes must be the beginning of a scope, without spaces, not ${JSON.stringify(scopePrefix)}`)
    return { kind, issuer: issuer ?? '', audience, ...(scopePrefix === undefined ? {} : { scopePrefix }) }
  }

  function parseOwnSettings(): Partial<Settings> {
    const value = contexts.settings
    let given: unknown = value ?? {}
    if (typeof value === 'string')
      try {
        given = JSON.parse(value === '' ? '{}' : value)
      } catch {
        given = undefined
      }
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      failures.push(`settings must be a JSON object, not ${String(value)}`)
      return {}
    }
    const parsed = functionSettings(given as Partial<Settings>)
    if (!parsed.ok) failures.push(parsed.message.replace(/\.$/, ''))
    if ((given as Partial<Settings>).isSoleProcess === true)
      failures.push('isSoleProcess is for one server alone, and functions are many')
    return given as Partial<Settings>
  }
}

/** Of the settings of functions, those that are not the defaults: what HIGHWATER_SETTINGS holds. */
export function settingsThatDiffer(settings: Partial<Settings>): Partial<Settings> {
  return Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => defaultSettings[name as keyof Settings] !== value),
  )
}
