/**
 * How heads and items lie in the one table, and the way back.
 *
 *     head   pk  heads/<topic id>/<partition>     sk  head
 *            hw start rolls boundary              N
 *            producerFloor leaseEpoch             N
 *            tail        M  reference -> N base offset
 *            producers   M  producer key -> S state, without the base offset of its newest batch
 *            bases       M  producer key -> N that base offset
 *            lease       M  owner S, epoch N, untilMs N, isExclusive BOOL; missing where there is none
 *            minSegment  S  empty where there is no fence
 *            cleanedTo   N  missing where key compaction never ran
 *            isDeleted   BOOL
 *
 *     item   pk  <collection>                     sk  <sort>
 *            version     S
 *            value       S  JSON text
 *            bytes       B  missing where there are none
 *
 * The state of a producer is `<epoch>,<first>-<last>@<base>,...,<first>-<last>`, numbers in base 36, oldest batch first.
 * It is in two maps because the update that commits a batch is what gives it its offset (H2): an expression can set a number
 * to `hw`, but cannot put `hw` into a text, nor into a map that it writes. Both are equal exactly when the states are.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Head, HeadKey } from '../../core/head.ts'
import type { Item, ItemKey, Json } from '../../core/items.ts'
import type { Lease } from '../../core/lease.ts'
import type { Offset, ProducerKey, SegmentId } from '../../core/names.ts'
import type { ProducerBatch, ProducerState } from '../../core/producer.ts'
import type { ItemWrite } from '../../ports.ts'

export type Attributes = Record<string, AttributeValue>

export function headKeyAttributes(key: HeadKey): Attributes {
  return { pk: { S: `heads/${key.topicId}/${key.partition}` }, sk: { S: 'head' } }
}

export function itemKeyAttributes(key: ItemKey): Attributes {
  return { pk: { S: key.collection }, sk: { S: key.sort } }
}

export function encodeHead(head: Head): Attributes {
  const producers: Attributes = {}
  const bases: Attributes = {}
  for (const [key, state] of Object.entries(head.producers) as [ProducerKey, ProducerState][]) {
    producers[key] = { S: stateText(state) }
    bases[key] = number(newestBase(state))
  }
  return {
    ...headKeyAttributes(head),
    hw: number(head.hw),
    start: number(head.start),
    tail: { M: Object.fromEntries(Object.entries(head.tail).map(([ref, base]) => [ref, number(base as Offset)])) },
    rolls: number(head.rolls),
    boundary: number(head.boundary),
    producers: { M: producers },
    bases: { M: bases },
    producerFloor: number(head.producerFloor),
    leaseEpoch: number(head.leaseEpoch),
    ...(head.lease && { lease: encodeLease(head.lease) }),
    minSegment: { S: head.minSegment },
    ...(head.cleanedTo !== undefined && { cleanedTo: number(head.cleanedTo) }),
    isDeleted: { BOOL: head.isDeleted },
  }
}

export function encodeLease({ owner, epoch, untilMs, isExclusive }: Lease): AttributeValue {
  return {
    M: { owner: { S: owner }, epoch: number(epoch), untilMs: number(untilMs), isExclusive: { BOOL: isExclusive } },
  }
}

/** Throws on an item that no writer made. */
export function decodeHead(key: HeadKey, attributes: Attributes): Head {
  const head = new Reader(`head of ${key.topicId}/${key.partition}`, attributes)
  const bases = head.map('bases')
  const producers: Record<ProducerKey, ProducerState> = {}
  for (const [producer, state] of Object.entries(head.map('producers').attributes))
    producers[producer as ProducerKey] = parseState(state.S ?? '', bases.number(producer))
  const tail = head.map('tail')
  return {
    topicId: key.topicId,
    partition: key.partition,
    hw: head.number('hw'),
    start: head.number('start'),
    tail: Object.fromEntries(Object.keys(tail.attributes).map((ref) => [ref, tail.number(ref)])),
    rolls: head.number('rolls'),
    boundary: head.number('boundary'),
    producers,
    producerFloor: head.number('producerFloor'),
    leaseEpoch: head.number('leaseEpoch'),
    ...(attributes.lease && { lease: decodeLease(head.map('lease')) }),
    minSegment: head.text('minSegment') as SegmentId | '',
    ...(attributes.cleanedTo && { cleanedTo: head.number('cleanedTo') }),
    isDeleted: head.flag('isDeleted'),
  }
}

function decodeLease(lease: Reader): Lease {
  return {
    owner: lease.text('owner'),
    epoch: lease.number('epoch'),
    untilMs: lease.number('untilMs'),
    isExclusive: lease.flag('isExclusive'),
  }
}

export function encodeItem(write: ItemWrite & { readonly op: 'put' }): Attributes {
  return {
    ...itemKeyAttributes(write.key),
    version: { S: write.version },
    value: { S: JSON.stringify(write.value) },
    ...(write.bytes && { bytes: { B: write.bytes } }),
  }
}

/** Throws on an item that no writer made. */
export function decodeItem(attributes: Attributes): Item {
  const item = new Reader('item', attributes)
  return {
    key: { collection: item.text('pk'), sort: item.text('sk') },
    version: item.text('version'),
    value: JSON.parse(item.text('value')) as Json,
    ...(attributes.bytes?.B && { bytes: attributes.bytes.B }),
  }
}

/** All of a producer's state but the base offset of its newest batch. */
export function stateText(state: ProducerState): string {
  const batches = state.batches.map(({ first, last, base }, index) => {
    const sequences = `${first.toString(36)}-${last.toString(36)}`
    return index === state.batches.length - 1 ? sequences : `${sequences}@${base.toString(36)}`
  })
  return [state.epoch.toString(36), ...batches].join(',')
}

export function newestBase(state: ProducerState): Offset {
  const newest = state.batches[state.batches.length - 1]
  if (newest === undefined) throw new Error('a producer state without batches')
  return newest.base
}

function parseState(text: string, newest: Offset): ProducerState {
  const [epoch = '', ...batches] = text.split(',')
  const state = {
    epoch: Number.parseInt(epoch, 36),
    batches: batches.map((batch): ProducerBatch => {
      const [first = '', last = '', base] = batch.split(/[-@]/)
      return {
        first: Number.parseInt(first, 36),
        last: Number.parseInt(last, 36),
        base: base === undefined ? newest : Number.parseInt(base, 36),
      }
    }),
  }
  if (state.batches.length === 0 || stateText(state) !== text)
    throw new Error(`damaged producer state ${JSON.stringify(text)}`)
  return state
}

export function number(value: number): AttributeValue {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no number that a head can hold`)
  return { N: String(value) }
}

/** Reads the attributes that must be there. */
class Reader {
  readonly attributes: Attributes
  readonly #what: string

  constructor(what: string, attributes: Attributes) {
    this.#what = what
    this.attributes = attributes
  }

  number(name: string): number {
    const value = Number(this.attributes[name]?.N ?? Number.NaN)
    return Number.isFinite(value) ? value : this.#damaged(name)
  }

  text(name: string): string {
    return this.attributes[name]?.S ?? this.#damaged(name)
  }

  flag(name: string): boolean {
    return this.attributes[name]?.BOOL ?? this.#damaged(name)
  }

  map(name: string): Reader {
    return new Reader(`${this.#what}, ${name}`, this.attributes[name]?.M ?? this.#damaged(name))
  }

  #damaged(name: string): never {
    throw new Error(`damaged ${this.#what}: ${name} is ${JSON.stringify(this.attributes[name])}`)
  }
}
