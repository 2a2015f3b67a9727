/**
 * What every form of produce takes besides its records: identity, condition and acks, from headers and query.
 *
 *     Producer-Id, Producer-Epoch, Producer-Seq   all or none; Seq is of the first record, in its partition (P1..P4)
 *     Idempotency-Key                             1 to 255 visible ASCII characters; excludes the three above
 *     Highwater-Expected-Offset                   append only if the partition's end offset is this
 *     ?acks=all|-1|1|0                            0: answer before the outcome is known
 */
import { type Refusal, refusal } from '../core/errors.ts'
import { producerEpochMax, sequenceMax } from '../core/producer.ts'
import { idempotencyKeyLengthMax } from '../log/append.ts'
import type { AppendOptions, ProducerStamp } from '../log/log.ts'
import { parseInteger, wholeNumber } from './parameters.ts'
import type { OpenApiParameter, RouteContext } from './route.ts'

export interface ProduceOptions {
  readonly ok: true
  /** To spread into `log.append` or `log.produce`. */
  readonly append: AppendOptions
  /** False with acks=0: the answer does not wait for the commit. */
  readonly waitsForCommit: boolean
}

/** Refuses with INVALID_REQUEST. */
export function parseProduceOptions(context: RouteContext): ProduceOptions | Refusal {
  const { headers } = context.request
  const acks = context.query.get('acks') ?? 'all'
  if (!acksValues.includes(acks))
    return refusal('INVALID_REQUEST', `acks must be one of ${acksValues.join(', ')}, not ${JSON.stringify(acks)}.`)

  const producer = parseProducer(headers)
  if (producer !== undefined && 'ok' in producer) return producer

  const idempotencyKey = headers.get('idempotency-key')
  if (idempotencyKey !== null) {
    if (producer !== undefined)
      return refusal('INVALID_REQUEST', 'Idempotency-Key and Producer-Id exclude each other: send one of them.')
    if (!/^[\x21-\x7e]+$/.test(idempotencyKey) || idempotencyKey.length > idempotencyKeyLengthMax)
      return refusal(
        'INVALID_REQUEST',
        `Idempotency-Key must have 1 to ${idempotencyKeyLengthMax} visible ASCII characters.`,
      )
  }

  const expected = headers.get('highwater-expected-offset')
  let expectedOffset: number | undefined
  if (expected !== null) {
    expectedOffset = parseInteger(expected, 0, Number.MAX_SAFE_INTEGER)
    if (expectedOffset === undefined) return notANumber('Highwater-Expected-Offset', expected)
  }

  return {
    ok: true,
    append: {
      ...(producer === undefined ? {} : { producer }),
      ...(idempotencyKey === null ? {} : { idempotencyKey }),
      ...(expectedOffset === undefined ? {} : { expectedOffset }),
    },
    waitsForCommit: acks !== '0',
  }
}

const acksValues: readonly string[] = ['all', '-1', '1', '0']

function parseProducer(headers: RouteContext['request']['headers']): ProducerStamp | undefined | Refusal {
  const id = headers.get('producer-id')
  const epoch = headers.get('producer-epoch')
  const seq = headers.get('producer-seq')
  if (id === null && epoch === null && seq === null) return undefined
  if (id === null || epoch === null || seq === null)
    return refusal(
      'INVALID_REQUEST',
      'Producer-Id, Producer-Epoch and Producer-Seq are sent all together or not at all.',
    )
  const producerId = parseInteger(id, 0, Number.MAX_SAFE_INTEGER)
  if (producerId === undefined) return notANumber('Producer-Id', id)
  const producerEpoch = parseInteger(epoch, 0, producerEpochMax)
  if (producerEpoch === undefined) return notANumber('Producer-Epoch', epoch, producerEpochMax)
  const sequence = parseInteger(seq, 0, sequenceMax)
  if (sequence === undefined) return notANumber('Producer-Seq', seq, sequenceMax)
  return { producerId, epoch: producerEpoch, sequence }
}

function notANumber(name: string, text: string, max: number = Number.MAX_SAFE_INTEGER): Refusal {
  return refusal('INVALID_REQUEST', `${name} must be ${wholeNumber(0, max)}, not ${JSON.stringify(text)}.`)
}

/** On every answer to a produce that was a repeat. */
export const duplicateHeader = { 'highwater-duplicate': 'true' } as const

/** For the `parameters` of every produce operation. */
export const produceParameters: readonly OpenApiParameter[] = [
  {
    name: 'acks',
    in: 'query',
    description: 'all, -1 and 1: answer when the records are durable and readable. 0: answer 202 at once.',
    schema: { enum: acksValues, default: 'all' },
  },
  {
    name: 'Producer-Id',
    in: 'header',
    description: 'Idempotent producer, from POST /producers. With Producer-Epoch and Producer-Seq, or none of them.',
    schema: { type: 'integer', minimum: 0 },
  },
  { name: 'Producer-Epoch', in: 'header', schema: { type: 'integer', minimum: 0, maximum: producerEpochMax } },
  {
    name: 'Producer-Seq',
    in: 'header',
    description: 'Sequence of the first record in its partition. The request must land in one partition.',
    schema: { type: 'integer', minimum: 0, maximum: sequenceMax },
  },
  {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'A repeat with the same key and content is answered with the first offsets.',
    schema: { type: 'string', minLength: 1, maxLength: idempotencyKeyLengthMax },
  },
  {
    name: 'Highwater-Expected-Offset',
    in: 'header',
    description: 'Append only if the end offset of the partition is this; otherwise 412.',
    schema: { type: 'integer', minimum: 0 },
  },
]
