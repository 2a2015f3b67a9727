/**
 * Kafka REST v3: produce, one record or several in concatenated JSON (`records`), or a list of entries (`records:batch`).
 *
 * All records of a request go to the log in one call, so those of one partition are one batch. Each is reported with an
 * `error_code` of its own (200: written); a record that is not well-formed does not keep the others from being written,
 * unless the request is idempotent or conditional: then it is written whole or not at all (D4).
 */
import { errorCatalogue, type Refusal, refusal } from '../core/errors.ts'
import type { Produced, ProduceRecord } from '../log/log.ts'
import { duplicateHeader, type ProduceOptions, parseProduceOptions, produceParameters } from './produce-options.ts'
import { jsonType, refusalHeaders } from './replies.ts'
import type { JsonSchema, OpenApiOperation, Reply, Route, RouteContext } from './route.ts'
import { ByteArena, type Parsed, parseJson, shown } from './v2-embedded.ts'
import { commonRefusal, isRepeat } from './v2-outcome.ts'
import { isFields } from './v2-records.ts'
import { parseJsonValues } from './v3-json-values.ts'
import { type DataType, type ReadRecord, readRecord } from './v3-record-fields.ts'
import { checkJsonType, v3ErrorBody, v3Refusal } from './v3-requests.ts'
import { v3Prefixes, v3Tags } from './v3-resources.ts'
import { v3Response } from './v3-schemas.ts'

/** Records of one request (D8): their reports must fit into one response. */
export const v3RecordsMax = 20_000
/** Entries of one records:batch (D8). Confluent's default is 10. */
export const v3BatchEntriesMax = 1_000
export const batchIdLengthMax = 80

type Written = Extract<Produced, { readonly ok: true }>

/** A record that was written; or, with acks=0, of which the log has not said anything yet. */
interface Taken {
  readonly ok: true
  readonly read: ReadRecord
  readonly written: Written | undefined
}

interface Outcomes {
  readonly ok: true
  /** One for each record of the request, in order; refused by the reader or by the log. */
  readonly outcomes: readonly (Taken | Refusal)[]
  /** What the log said, of those it was asked for. */
  readonly produced: readonly Produced[]
}

async function produce(
  context: RouteContext,
  options: ProduceOptions,
  reads: readonly (ReadRecord | Refusal)[],
): Promise<Outcomes | Refusal> {
  const records: ProduceRecord[] = []
  const isWhole = Object.keys(options.append).length > 0
  for (const [index, read] of reads.entries()) {
    if (read.ok) records.push(read.record)
    else if (isWhole)
      return refusal(
        'INVALID_PAYLOAD',
        `Record ${index}: ${read.message} Nothing was written: an idempotent or conditional request is written whole.`,
      )
  }
  let produced: readonly Produced[] = []
  if (records.length > 0) {
    const work = context.log.produce({ topic: context.params.topic_name ?? '', records, ...options.append })
    if (options.waitsForCommit) {
      const answer = await work
      if (!answer.ok) return answer
      produced = answer.records
    } else context.unattended(work)
  }
  let next = 0
  const outcomes = reads.map((read): Taken | Refusal => {
    if (!read.ok) return read
    const answer = produced[next++]
    return answer?.ok === false ? answer : { ok: true, read, written: answer }
  })
  return { ok: true, outcomes, produced }
}

/** Writes the reports of one request by hand: what they have in common is put together once. */
class Reports {
  readonly #place: string
  #lastMs = Number.NaN
  #lastTime = ''

  constructor(clusterId: string, topic: string) {
    this.#place = `"cluster_id":${JSON.stringify(clusterId)},"topic_name":${JSON.stringify(topic)}`
  }

  /** The fields of a record that was written, or taken with acks=0; without the braces. */
  taken({ read, written }: Taken): string {
    const { record, keyType, valueType } = read
    let text = this.#place
    text +=
      written === undefined
        ? ',"partition_id":null,"offset":null,"timestamp":null'
        : `,"partition_id":${written.partition},"offset":${written.offset},"timestamp":"${this.#time(written.timestampMs)}"`
    if (keyType !== undefined) text += `,"key":${part(keyType, record.key)}`
    if (valueType !== undefined) text += `,"value":${part(valueType, record.value)}`
    return text
  }

  #time(timestampMs: number): string {
    if (timestampMs !== this.#lastMs) {
      this.#lastMs = timestampMs
      this.#lastTime = new Date(timestampMs).toISOString()
    }
    return this.#lastTime
  }
}

/** As Kafka has it, the size of null is -1. */
function part(type: DataType, bytes: Uint8Array | null): string {
  return `{"type":"${type}","size":${bytes === null ? -1 : bytes.length}}`
}

async function reportsOf(context: RouteContext): Promise<Reports> {
  return new Reports(await context.log.clusterId(), context.params.topic_name ?? '')
}

function statusAndHeaders(
  options: ProduceOptions,
  { produced }: Outcomes,
  status: number,
): Pick<Reply, 'status' | 'headers'> {
  const type = { 'content-type': jsonType }
  const refused = commonRefusal(produced)
  if (refused !== undefined)
    return { status: errorCatalogue[refused.code].status, headers: { ...type, ...refusalHeaders(refused) } }
  if (!options.waitsForCommit) return { status: 202, headers: type }
  return { status, headers: isRepeat(produced) ? { ...type, ...duplicateHeader } : type }
}

async function produceRecords(context: RouteContext): Promise<Reply> {
  const request = await readRequest(context)
  if (!request.ok) return v3Refusal(request)
  const { bytes, options } = request
  const values = parseJsonValues(bytes, v3RecordsMax)
  if (!values.ok) return v3Refusal(values)
  // Before anything is written: what fails here must not hide it.
  const reports = await reportsOf(context)
  const arena = new ByteArena(bytes)
  const answer = await produce(
    context,
    options,
    values.value.map((value) => readRecord(value, false, arena)),
  )
  if (!answer.ok) return v3Refusal(answer)

  let body = ''
  for (const outcome of answer.outcomes) {
    if (body !== '') body += '\n'
    body += outcome.ok ? `{"error_code":200,${reports.taken(outcome)}}` : JSON.stringify(v3ErrorBody(outcome))
  }
  return { ...statusAndHeaders(options, answer, 200), body }
}

async function produceBatch(context: RouteContext): Promise<Reply> {
  const request = await readRequest(context)
  if (!request.ok) return v3Refusal(request)
  const { bytes, options } = request
  const entries = parseEntries(bytes)
  if (!entries.ok) return v3Refusal(entries)
  // Before anything is written: what fails here must not hide it.
  const reports = await reportsOf(context)
  const arena = new ByteArena(bytes)
  const answer = await produce(
    context,
    options,
    entries.value.map(({ entry }) => readRecord(entry, true, arena)),
  )
  if (!answer.ok) return v3Refusal(answer)

  const successes: string[] = []
  const failures: string[] = []
  answer.outcomes.forEach((outcome, index) => {
    const id = `"id":${JSON.stringify(entries.value[index]?.id)}`
    if (outcome.ok) successes.push(`{${id},${reports.taken(outcome)}}`)
    else failures.push(`{${id},${JSON.stringify(v3ErrorBody(outcome)).slice(1)}`)
  })
  const common = commonRefusal(answer.produced)
  const lead = common === undefined ? '{' : `${JSON.stringify(v3ErrorBody(common)).slice(0, -1)},`
  return {
    ...statusAndHeaders(options, answer, 207),
    body: `${lead}"successes":[${successes.join(',')}],"failures":[${failures.join(',')}]}`,
  }
}

async function readRequest(
  context: RouteContext,
): Promise<{ readonly ok: true; readonly bytes: Uint8Array; readonly options: ProduceOptions } | Refusal> {
  const typed = checkJsonType(context)
  if (!typed.ok) return typed
  const options = parseProduceOptions(context)
  if (!options.ok) return options
  const body = await context.readBody()
  return body.ok ? { ok: true, bytes: body.bytes, options } : body
}

interface Entry {
  readonly id: string
  readonly entry: unknown
}

function parseEntries(bytes: Uint8Array): Parsed<readonly Entry[]> {
  const body = parseJson(bytes)
  if (!body.ok) return body
  const { value } = body
  if (!isFields(value)) return refusal('INVALID_REQUEST', `The body must be an object, not ${shown(value)}.`)
  for (const name in value) if (name !== 'entries') return refusal('INVALID_PAYLOAD', `Unrecognized field: ${name}`)
  const { entries } = value
  if (!Array.isArray(entries))
    return refusal('INVALID_BATCH', `entries must be an array, not ${shown(entries ?? null)}.`)
  if (entries.length === 0) return refusal('INVALID_BATCH', 'Empty batch.')
  if (entries.length > v3BatchEntriesMax)
    return refusal(
      'INVALID_BATCH',
      `Too many entries in batch. There are ${entries.length}; at most ${v3BatchEntriesMax} are allowed.`,
    )
  const ids = new Set<string>()
  for (const entry of entries as unknown[]) {
    const id = isFields(entry) ? entry.id : undefined
    if (typeof id !== 'string' || !batchId.test(id))
      return refusal(
        'INVALID_BATCH',
        `Batch entry identifier is not a valid string. It must have 1 to ${batchIdLengthMax} letters, digits, - and _, not ${shown(id ?? null)}.`,
      )
    if (ids.has(id)) return refusal('INVALID_BATCH', `Batch entry IDs are not distinct. ${shown(id)} is there twice.`)
    ids.add(id)
  }
  return { ok: true, value: (entries as { id: string }[]).map((entry) => ({ id: entry.id, entry })) }
}

const batchId = new RegExp(`^[0-9a-zA-Z_-]{1,${batchIdLengthMax}}$`)

// --- For the document ------------------------------------------------------------------------------------------------

const dataSchema: JsonSchema = {
  type: ['object', 'null'],
  properties: {
    type: { enum: ['BINARY', 'JSON', 'STRING', null], default: 'BINARY' },
    data: { description: 'BINARY: base64. JSON: any value. STRING: text. null, or nothing: null.' },
  },
}

const recordProperties = {
  partition_id: { type: ['integer', 'null'], minimum: 0 },
  headers: {
    type: ['array', 'null'],
    items: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string' }, value: { type: ['string', 'null'], contentEncoding: 'base64' } },
      additionalProperties: false,
    },
  },
  key: dataSchema,
  value: dataSchema,
  timestamp: { type: ['string', 'null'], format: 'date-time' },
} satisfies Record<string, JsonSchema>

const writtenProperties = {
  cluster_id: { type: 'string' },
  topic_name: { type: 'string' },
  partition_id: { type: ['integer', 'null'] },
  offset: { type: ['integer', 'null'] },
  timestamp: { type: ['string', 'null'], format: 'date-time' },
  key: sizeSchema(),
  value: sizeSchema(),
} satisfies Record<string, JsonSchema>

function sizeSchema(): JsonSchema {
  return {
    type: 'object',
    required: ['type', 'size'],
    properties: {
      type: { enum: ['BINARY', 'JSON', 'STRING'] },
      size: { type: 'integer', minimum: -1, description: 'Bytes; -1 for null' },
    },
  }
}

const exampleRecord = {
  partition_id: 0,
  headers: [{ name: 'source', value: 'd2Vic2hvcA==' }],
  key: { type: 'BINARY', data: 'b3JkZXItMQ==' },
  value: { type: 'JSON', data: { state: 'confirmed', items: 3 } },
  timestamp: '2026-01-01T00:00:00Z',
}

const duplicateHeaderSchema = {
  'Highwater-Duplicate': {
    description: 'Present when this was a repeat, answered with the offsets of the first',
    schema: { const: 'true' },
  },
}

const recordsOperation: OpenApiOperation = {
  operationId: 'produceRecords',
  summary: 'Append one record, or several',
  description: `Several records follow each other in the body, with or without blanks between them (concatenated JSON), and so do their reports in the answer; at most ${v3RecordsMax}. The status is 200 when the request was served: whether a record was written is the error_code of its report. When none was written for one reason that is not the records’ own, that is the status. A body that is not JSON to its end is refused whole.`,
  tags: v3Tags,
  parameters: produceParameters,
  requestBody: {
    required: true,
    content: {
      [jsonType]: {
        schema: { type: 'object', properties: recordProperties, additionalProperties: false },
        example: exampleRecord,
      },
    },
  },
  responses: {
    200: {
      ...v3Response(
        'A report for each record, in order',
        {
          type: 'object',
          required: ['error_code'],
          properties: {
            error_code: { type: 'integer', description: '200: written' },
            message: { type: 'string' },
            ...writtenProperties,
          },
        },
        {
          error_code: 200,
          cluster_id: 'lkJ0nTn5Qm2uBUpYr5OWwA',
          topic_name: 'orders',
          partition_id: 0,
          offset: 0,
          timestamp: '2026-01-01T00:00:00.000Z',
          key: { type: 'BINARY', size: 7 },
          value: { type: 'JSON', size: 31 },
        },
      ),
      headers: duplicateHeaderSchema,
    },
    202: v3Response('With acks=0: taken, offsets not known', {
      type: 'object',
      required: ['error_code'],
      properties: { error_code: { type: 'integer' }, message: { type: 'string' }, ...writtenProperties },
    }),
  },
}

const batchSchema: JsonSchema = {
  type: 'object',
  required: ['successes', 'failures'],
  properties: {
    successes: {
      type: 'array',
      items: { type: 'object', required: ['id'], properties: { id: { type: 'string' }, ...writtenProperties } },
    },
    failures: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'error_code', 'message'],
        properties: { id: { type: 'string' }, error_code: { type: 'integer' }, message: { type: 'string' } },
      },
    },
  },
}

const batchOperation: OpenApiOperation = {
  operationId: 'produceRecordsBatch',
  summary: 'Append a list of records',
  description: 'Reports name the entries by their ids; those of entries that failed are in a list of their own.',
  tags: v3Tags,
  parameters: produceParameters,
  requestBody: {
    required: true,
    content: {
      [jsonType]: {
        schema: {
          type: 'object',
          required: ['entries'],
          properties: {
            entries: {
              type: 'array',
              minItems: 1,
              maxItems: v3BatchEntriesMax,
              items: {
                type: 'object',
                required: ['id'],
                properties: {
                  id: { type: 'string', pattern: batchId.source, description: 'Distinct within the request' },
                  ...recordProperties,
                },
                additionalProperties: false,
              },
            },
          },
          additionalProperties: false,
        },
        example: {
          entries: [
            { id: '1', value: { type: 'STRING', data: 'confirmed' } },
            { id: '2', value: { type: 'STRING', data: 'paid' } },
          ],
        },
      },
    },
  },
  responses: {
    202: v3Response('With acks=0: taken, offsets not known', batchSchema),
    207: { ...v3Response('What became of each entry', batchSchema), headers: duplicateHeaderSchema },
  },
}

export const v3RecordRoutes: readonly Route[] = [
  {
    work: 'produce',
    method: 'POST',
    path: '/clusters/{cluster_id}/topics/{topic_name}/records',
    prefixes: v3Prefixes,
    operation: recordsOperation,
    handle: produceRecords,
  },
  {
    work: 'produce',
    method: 'POST',
    path: '/clusters/{cluster_id}/topics/{topic_name}/records:batch',
    prefixes: v3Prefixes,
    operation: batchOperation,
    handle: produceBatch,
  },
]
