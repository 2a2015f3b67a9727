/**
 * The configuration of a consumer instance, in the words of each who made this API theirs: numbers and booleans may come as
 * strings, and null means that nothing is said.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { InstanceConfig, OffsetReset } from '../log/instance-api.ts'
import { parseInteger } from './parameters.ts'
import type { JsonSchema } from './route.ts'
import type { Fields } from './v2-consumers-bodies.ts'
import { embeddedFormats, shown } from './v2-embedded.ts'

/** The convention's, for a request that does not say how long it waits. */
const waitMsDefault = 1_000
const formatsWithSchemas: readonly string[] = ['avro', 'jsonschema', 'protobuf']

const property = {
  name: {
    type: ['string', 'null'],
    minLength: 1,
    maxLength: 255,
    description: 'Of the instance; one is made where there is none',
  },
  id: { type: ['string', 'null'], description: 'The same, as it was named before' },
  format: { type: ['string', 'null'], enum: [...embeddedFormats, null], default: 'binary' },
  'auto.offset.reset': { type: ['string', 'null'], enum: ['earliest', 'latest', 'none', null], default: 'latest' },
  'auto.commit.enable': { type: ['boolean', 'string', 'null'], default: true },
  'enable.auto.commit': { type: ['boolean', 'string', 'null'], description: 'The same, as Kafka and Strimzi have it' },
  'fetch.min.bytes': { type: ['integer', 'string', 'null'], minimum: -1, description: '-1: any' },
  responseMinBytes: { type: ['integer', 'string', 'null'], description: 'The same' },
  'consumer.request.timeout.ms': { type: ['integer', 'string', 'null'], minimum: -1, default: waitMsDefault },
  requestWaitMs: { type: ['integer', 'string', 'null'], description: 'The same' },
  'isolation.level': {
    type: ['string', 'null'],
    enum: ['read_uncommitted', 'read_committed', null],
    description: 'Without effect: whatever can be read is committed',
  },
  'session.timeout.ms': {
    type: ['integer', 'string', 'null'],
    description: 'Our own: how long the instance keeps its partitions without a request for records',
  },
} as const satisfies Record<string, JsonSchema>

export const configSchema: JsonSchema = { type: 'object', properties: property, additionalProperties: false }
export const configNames: readonly string[] = Object.keys(property)

export interface ParsedConfig {
  readonly ok: true
  readonly name: string | undefined
  readonly config: InstanceConfig
}

/** Refuses with INVALID_CONSUMER_CONFIG. */
export function parseConfig(fields: Fields, settings: Settings): ParsedConfig | Refusal {
  try {
    const bytesMin = integer(fields, ['fetch.min.bytes', 'responseMinBytes'], -1)
    const waitMs = integer(fields, ['consumer.request.timeout.ms', 'requestWaitMs'], -1) ?? -1
    const sessionTimeoutMs = integer(
      fields,
      ['session.timeout.ms'],
      settings.sessionTimeoutMsMin,
      settings.sessionTimeoutMsMax,
    )
    choice(fields, 'isolation.level', ['read_uncommitted', 'read_committed'])
    return {
      ok: true,
      name: text(fields, ['name', 'id']),
      config: {
        format: format(fields),
        offsetReset: choice<OffsetReset>(fields, 'auto.offset.reset', ['earliest', 'latest', 'none']) ?? 'latest',
        isAutoCommit: boolean(fields, ['auto.commit.enable', 'enable.auto.commit']) ?? true,
        waitMs: waitMs < 0 ? waitMsDefault : waitMs,
        ...(bytesMin === undefined || bytesMin < 1 ? {} : { bytesMin }),
        ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      },
    }
  } catch (error) {
    if (error instanceof Wrong) return refusal('INVALID_CONSUMER_CONFIG', error.message)
    throw error
  }
}

/** What is wrong with a value; never leaves this file. */
class Wrong extends Error {}

/** The value under the first of its names that says something. */
function said(fields: Fields, names: readonly string[]): { readonly name: string; readonly value: unknown } {
  for (const name of names) {
    const value = fields[name] ?? undefined
    if (value !== undefined) return { name, value }
  }
  return { name: names[0] ?? '', value: undefined }
}

function text(fields: Fields, names: readonly string[]): string | undefined {
  const { name, value } = said(fields, names)
  if (value === undefined || typeof value === 'string') return value
  throw new Wrong(`${name} must be a string, not ${shown(value)}.`)
}

function integer(
  fields: Fields,
  names: readonly string[],
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const { name, value } = said(fields, names)
  if (value === undefined) return undefined
  const number =
    typeof value === 'number' || typeof value === 'string' ? parseInteger(String(value), min, max) : undefined
  if (number !== undefined) return number
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  throw new Wrong(`${name} must be a whole number ${range}, not ${shown(value)}.`)
}

function boolean(fields: Fields, names: readonly string[]): boolean | undefined {
  const { name, value } = said(fields, names)
  if (value === undefined || typeof value === 'boolean') return value
  const known = typeof value === 'string' ? { true: true, false: false }[value.toLowerCase()] : undefined
  if (known !== undefined) return known
  throw new Wrong(`${name} must be true or false, not ${shown(value)}.`)
}

function choice<Choice extends string>(fields: Fields, name: string, choices: readonly Choice[]): Choice | undefined {
  const { value } = said(fields, [name])
  if (value === undefined) return undefined
  const chosen = choices.find((one) => typeof value === 'string' && one === value.toLowerCase())
  if (chosen !== undefined) return chosen
  throw new Wrong(`${name} must be one of ${choices.join(', ')}, not ${shown(value)}.`)
}

function format(fields: Fields): string {
  const { value } = said(fields, ['format'])
  if (typeof value === 'string' && formatsWithSchemas.includes(value.toLowerCase()))
    throw new Wrong(
      `format ${shown(value)} needs a schema registry, which this server does not have; use ${embeddedFormats.join(', ')}.`,
    )
  return choice(fields, 'format', embeddedFormats) ?? 'binary'
}
