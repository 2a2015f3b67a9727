/**
 * What is truly in the log: seen at the stores, effect by effect, with the invariants that hold between two effects.
 * Records are told apart by what the simulation wrote into them.
 */
import { itemName } from '../../lib/adapters/item-conditions.ts'
import type { Codecs } from '../../lib/core/codec.ts'
import type { Head, HeadCommand, HeadKey } from '../../lib/core/head.ts'
import { headProducersMax, tailEntriesMax } from '../../lib/core/head.ts'
import type { Item } from '../../lib/core/items.ts'
import { inlineKey, rowsCollection, topicsCollection } from '../../lib/core/items.ts'
import type { Offset, TopicId } from '../../lib/core/names.ts'
import { segmentObjectKey } from '../../lib/core/names.ts'
import { sequenceAfter } from '../../lib/core/producer.ts'
import { decodeBatch, readBatchHeader } from '../../lib/core/record-batch.ts'
import type { ChunkReference } from '../../lib/core/reference.ts'
import { decodeReference, segmentOfReference } from '../../lib/core/reference.ts'
import type { Row } from '../../lib/core/row.ts'
import type { Topic } from '../../lib/core/topic.ts'
import { effectiveConfig } from '../../lib/core/topic.ts'
import type { ProduceRecord, ProducerStamp } from '../../lib/log/log.ts'
import { describeCommand, describeHead, short, shortRef } from './describe.ts'
import { GroupTruth } from './group-truth.ts'
import type { History } from './history.ts'
import { View } from './view.ts'

/** Which record: that of an append, written by one of its attempts. */
export interface RecordName {
  readonly append: number
  readonly attempt: number
  readonly index: number
}
export interface TrueRecord extends RecordName {
  readonly timestampMs: number
  readonly key: string | null
  readonly isTombstone: boolean
}
/** What may become of a topic's records: the least of every limit that its configs ever had. */
interface Cleaning {
  isCompacted: boolean
  retentionMs: number
  isBySize: boolean
  deleteRetentionMs: number
  minCompactionLagMs: number
}

/** What a client wants to append, and what it was told. */
export interface Intent {
  readonly id: number
  readonly kind: 'plain' | 'idempotent' | 'key'
  readonly topic: string
  readonly count: number
  /** When it was first thought of. */
  readonly sinceMs: number
  readonly stamp?: ProducerStamp
  readonly expectedOffset?: Offset
  /** By attempt. `definite`: refused, and nothing may ever come of it. An idempotency key's attempts are all number 0. */
  readonly attempts: Map<number, 'open' | 'acked' | 'definite' | 'possible'>
  /** Calls made; not the number of attempts for an idempotency key. */
  calls: number
  /** Of them refused for good. */
  definiteCalls: number
  /** Its idempotency key is another intent's too: one of them is to be refused. */
  isReuse?: boolean
  readonly commits: { topicId: TopicId; partition: number; base: Offset; attempt: number }[]
}

export interface Commit {
  readonly ref: ChunkReference
  readonly base: Offset
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function recordValue({ append, attempt, index }: RecordName): Uint8Array {
  return encoder.encode(`${append}.${attempt}.${index}`)
}

export function recordName(value: Uint8Array | null): RecordName {
  const [append, attempt, index] = decoder.decode(value ?? new Uint8Array()).split('.')
  return { append: Number(append), attempt: Number(attempt), index: Number(index) }
}

/** The name of a tombstone, which has no value, is the value of this header. */
const nameHeader = 'name'

/** What is written of a record: its key, and its name where a reader finds it again. */
export function recordContent(
  name: RecordName,
  key: string | null,
  isTombstone: boolean,
  padBytes = 0,
): Pick<ProduceRecord, 'key' | 'value' | 'headers'> {
  const value = recordValue(name)
  const bytes = key === null ? null : encoder.encode(key)
  const pad = padBytes === 0 ? [] : [{ key: 'pad', value: new Uint8Array(padBytes) }]
  return isTombstone
    ? { key: bytes, value: null, headers: [{ key: nameHeader, value }, ...pad] }
    : { key: bytes, value, headers: pad }
}

export class PartitionTruth {
  readonly key: HeadKey
  /** By offset; none below the first that the head began with. */
  readonly records: TrueRecord[] = []
  /** The last offset of each key. */
  readonly keys = new Map<string, Offset>()
  /** Tombstones that were the last of their keys, and have been removed. */
  readonly gone = new Map<string, Offset>()
  /** Passes of key compaction that have ended. */
  readonly passes: { readonly to: Offset; readonly atMs: number }[] = []
  readonly cleaning: Cleaning
  readonly skewMs: number
  /** In offset order. */
  readonly commits: Commit[] = []
  readonly bases = new Map<ChunkReference, Offset>()
  readonly producers = new Map<number, { epoch: number; last: number }>()
  head: Head

  constructor(head: Head, cleaning: Cleaning, skewMs: number) {
    this.key = { topicId: head.topicId, partition: head.partition }
    this.head = head
    this.cleaning = cleaning
    this.skewMs = skewMs
    this.records.length = head.hw
  }

  isTrue(offset: Offset, { append, attempt, index, timestampMs, key }: TrueRecord): boolean {
    const record = this.records[offset]
    return (
      record?.append === append &&
      record.attempt === attempt &&
      record.index === index &&
      record.timestampMs === timestampMs &&
      record.key === key
    )
  }

  /** May key compaction have removed it? Where a later record has its key, or it is a tombstone whose time is over. */
  mayLack(offset: Offset, nowMs: number): boolean {
    const record = this.records[offset]
    const { isCompacted, deleteRetentionMs, minCompactionLagMs } = this.cleaning
    if (record === undefined || !isCompacted) return false
    if (record.key === null) return true
    const clockMs = nowMs + this.skewMs
    if (minCompactionLagMs > 0 && record.timestampMs > clockMs - minCompactionLagMs) return false
    if ((this.keys.get(record.key) ?? -1) > offset) return true
    // From the pass that cleaned all that was before it.
    const pass = record.isTombstone ? this.passes.find(({ to }) => to > offset) : undefined
    return pass !== undefined && clockMs + this.skewMs - pass.atMs >= deleteRetentionMs
  }

  get hw(): Offset {
    return this.records.length
  }
}

export interface Seen {
  readonly hw: Offset
  readonly start: Offset
  readonly isDeleted: boolean
  /** Tombstones that had been removed, by their keys. */
  readonly gone?: ReadonlyMap<string, Offset>
}

export class Truth {
  readonly history: History
  readonly codecs: Codecs
  readonly groups: GroupTruth
  readonly partitions = new Map<string, PartitionTruth>()
  readonly names = new Map<TopicId, string>()
  /** Topics as their items say now. */
  readonly topics = new Map<string, Topic>()
  readonly intents: Intent[] = []
  /** Bytes of every object whose creation was ever answered. */
  readonly durable = new Map<string, Uint8Array>()
  /** The same of inline chunks, by collection and sort key. */
  readonly inline = new Map<string, Uint8Array>()
  /** Two commits under one idempotency key are fine when the key was forgotten in between: after this long, clocks allowed for. */
  keyLifeMs = Number.POSITIVE_INFINITY
  /** Largest difference of a process's clock from the true time. */
  skewMs = 0
  /** Users asked for the deletion of what lies below; by name and partition. */
  readonly deletesAsked = new Map<string, Offset>()
  readonly view: View
  readonly #cleaning = new Map<TopicId, Cleaning>()
  readonly #refusedOwners = new Set<string>()
  readonly #where = new Map<string, string>()

  constructor(history: History, codecs: Codecs) {
    this.history = history
    this.codecs = codecs
    this.groups = new GroupTruth(history, this)
    this.view = new View(this)
  }

  /** Below `before`, or, where that is -1, below the high watermark whenever it is done. */
  askForDeletion(topic: string, partition: number, before: Offset): void {
    const name = `${topic}/${partition}`
    const most = before === -1 ? Number.POSITIVE_INFINITY : before
    this.deletesAsked.set(name, Math.max(most, this.deletesAsked.get(name) ?? 0))
  }

  intend(intent: Pick<Intent, 'kind' | 'topic' | 'count' | 'stamp' | 'expectedOffset' | 'isReuse'>): Intent {
    const made: Intent = {
      ...intent,
      id: this.intents.length,
      sinceMs: this.history.nowMs,
      attempts: new Map(),
      calls: 0,
      definiteCalls: 0,
      commits: [],
    }
    this.intents.push(made)
    return made
  }

  partition(topicId: TopicId, partition: number): PartitionTruth | undefined {
    return this.partitions.get(`${topicId}/${partition}`)
  }

  /** Partitions of all topics that have, or had, the name. */
  named(name: string, partition: number): PartitionTruth[] {
    return [...this.partitions.values()].filter(
      ({ key }) => key.partition === partition && this.names.get(key.topicId) === name,
    )
  }

  /** Whoever was refused a lease for good may never hold it under that name. */
  refuseOwner(owner: string): void {
    this.#refusedOwners.add(owner)
    for (const { head } of this.partitions.values())
      if (head.lease?.owner === owner)
        this.history.violate('errors.ts', `${owner} holds the lease that it was refused for good`)
  }

  // --- Effects --------------------------------------------------------------------------------------------------------

  created(head: Head): void {
    const truth = new PartitionTruth(head, this.#cleaningOf(head.topicId), this.skewMs)
    this.partitions.set(`${head.topicId}/${head.partition}`, truth)
    this.history.note(`head ${short(head)} created`)
  }

  updated(head: Head, command: HeadCommand, nowMs: number): void {
    const truth = this.partition(head.topicId, head.partition)
    if (truth === undefined) {
      this.history.violate('H2', `a head that was never created: ${short(head)}`)
      return
    }
    const before = truth.head
    truth.head = head
    this.history.note(`head ${short(head)} ${describeCommand(command)} -> ${describeHead(head)}`)
    const rising = ['hw', 'start', 'rolls', 'boundary', 'leaseEpoch', 'producerFloor', 'minSegment'] as const
    for (const name of rising)
      if (head[name] < before[name])
        this.history.violate('H3', `${name} of ${short(head)} went back from ${before[name]} to ${head[name]}`)
    if ((head.cleanedTo ?? 0) < (before.cleanedTo ?? 0))
      this.history.violate('H3', `cleanedTo of ${short(head)} went back from ${before.cleanedTo} to ${head.cleanedTo}`)
    if (before.isDeleted && !head.isDeleted) this.history.violate('D6', `${short(head)} lost its deletion mark`)
    if (command.kind === 'lease' && command.act === 'take' && this.#refusedOwners.has(command.claim.owner))
      this.history.violate('errors.ts', `${command.claim.owner} takes the lease that it was refused for good`)
    if (command.kind === 'append') this.#appended(truth, before, head, command, nowMs)
    else if (head.hw !== before.hw) this.history.violate('H2', `${command.kind} moved hw of ${short(head)}`)
    this.#checkTail(truth)
    if (command.kind === 'trim') this.#checkTrim(truth, before.start, nowMs)
    if (command.kind === 'clean') truth.passes.push({ to: command.to, atMs: nowMs })
    if (command.kind === 'roll' || command.kind === 'clean') this.view.check(truth)
  }

  #cleaningOf(topicId: TopicId): Cleaning {
    const none = Number.POSITIVE_INFINITY
    const cleaning = this.#cleaning.get(topicId) ?? {
      isCompacted: false,
      retentionMs: none,
      isBySize: false,
      deleteRetentionMs: none,
      minCompactionLagMs: none,
    }
    this.#cleaning.set(topicId, cleaning)
    return cleaning
  }

  #configured(topic: Topic): void {
    const config = effectiveConfig(topic)
    const cleaning = this.#cleaningOf(topic.id)
    if (config.cleanupPolicy.isCompact) cleaning.isCompacted = true
    if (config.cleanupPolicy.isDelete) {
      cleaning.retentionMs = Math.min(cleaning.retentionMs, config.retentionMs)
      if (config.retentionBytes !== Number.POSITIVE_INFINITY) cleaning.isBySize = true
    }
    // What is not compacted has no tombstones.
    if (config.cleanupPolicy.isCompact)
      cleaning.deleteRetentionMs = Math.min(cleaning.deleteRetentionMs, config.deleteRetentionMs)
    cleaning.minCompactionLagMs = Math.min(cleaning.minCompactionLagMs, config.minCompactionLagMs)
  }

  /** D2: what goes is too old, or beyond the size that is kept, or somebody asked for it. */
  #checkTrim(truth: PartitionTruth, from: Offset, nowMs: number): void {
    const { key, head, records, cleaning } = truth
    const asked = this.deletesAsked.get(`${this.names.get(key.topicId)}/${key.partition}`) ?? 0
    if (cleaning.isBySize) return
    for (let offset = Math.max(from, asked); offset < head.start; offset++)
      if (records[offset]!.timestampMs >= nowMs + this.skewMs - cleaning.retentionMs && !truth.mayLack(offset, nowMs)) {
        this.history.violate('D2', `${short(key)} was trimmed to ${head.start}, though ${offset} is to be kept`)
        return
      }
  }

  #appended(
    truth: PartitionTruth,
    before: Head,
    head: Head,
    command: Extract<HeadCommand, { kind: 'append' }>,
    nowMs: number,
  ): void {
    const where = short(head)
    if (before.isDeleted) this.history.violate('D6', `an append to ${where}, which is deleted`)
    if (command.leaderEpoch !== undefined && command.leaderEpoch !== before.leaseEpoch)
      this.history.violate('L2', `leader epoch ${command.leaderEpoch} appended to ${where} in ${before.leaseEpoch}`)
    if (command.leaderEpoch === undefined && before.lease?.isExclusive === true)
      this.history.violate('L3', `an append to ${where} beside its exclusive leader`)
    let base = before.hw
    for (const { ref, count } of command.chunks) {
      if (truth.bases.has(ref)) this.history.violate('H1', `${ref} committed twice to ${where}`)
      if (segmentOfReference(ref) < before.minSegment)
        this.history.violate('D6', `${ref} committed to ${where} below the fence ${before.minSegment}`)
      if (head.tail[ref] !== base) this.history.violate('H2', `${ref} has base ${head.tail[ref]}, not ${base}`)
      truth.bases.set(ref, base)
      truth.commits.push({ ref, base })
      this.#read(truth, ref, base, count, nowMs)
      base += count
    }
    if (head.hw !== base || truth.hw !== base)
      this.history.violate('D3', `hw of ${where} is ${head.hw}, with ${truth.hw} records; ${base} is the end`)
  }

  /** The records that a commit made visible, from the bytes that are durable now. */
  #read(truth: PartitionTruth, ref: ChunkReference, base: Offset, count: number, nowMs: number): void {
    const place = decodeReference(ref)
    const { topicId, partition } = truth.key
    const object =
      place.isInline === true
        ? this.inline.get(itemName(inlineKey(topicId, partition, place.segment)))
        : this.durable.get(segmentObjectKey(place.segment))
    if (object === undefined) {
      this.history.violate('D1', `${ref} is visible and its bytes are not durable`)
      return
    }
    const chunk = object.subarray(place.position, place.position + place.lengthBytes)
    let offset = base
    for (const record of this.decode(chunk)) {
      if (record.offset !== offset - base) this.history.violate('D3', `${ref} has offset ${record.offset} inside`)
      this.#committed(truth, record, offset++, nowMs)
    }
    if (offset !== base + count) this.history.violate('D3', `${ref} has ${offset - base} records, not ${count}`)
  }

  /** Every record of the batches in `bytes`, with offsets as they stand there. */
  decode(bytes: Uint8Array): (TrueRecord & { offset: Offset })[] {
    const records: (TrueRecord & { offset: Offset })[] = []
    for (let at = 0; at < bytes.length; ) {
      const header = readBatchHeader(bytes, at)
      const decoded = decodeBatch(bytes, at, this.codecs, 1_000_000)
      if (!header.ok || !decoded.ok) {
        this.history.violate('D2', 'bytes that are not record batches')
        return records
      }
      for (const { offset, timestampMs, key, value, headers } of decoded.records) {
        const name = recordName(value ?? headers.find((one) => one.key === nameHeader)?.value ?? null)
        const text = key === null ? null : decoder.decode(key)
        records.push({ ...name, offset, timestampMs, key: text, isTombstone: value === null })
      }
      at += header.header.sizeBytes
    }
    return records
  }

  #committed(truth: PartitionTruth, record: TrueRecord, offset: Offset, nowMs: number): void {
    const { append, attempt, index, timestampMs, key, isTombstone } = record
    truth.records.push({ append, attempt, index, timestampMs, key, isTombstone })
    if (key !== null) truth.keys.set(key, offset)
    const { topicId, partition } = truth.key
    const at = `${short(truth.key)}@${offset}`
    const intent = this.intents[append]
    if (intent === undefined) {
      this.history.violate('D2', `nobody wrote the record at ${at}`)
      return
    }
    if (intent.attempts.get(attempt) === 'definite')
      this.history.violate('errors.ts', `append ${append}.${attempt} was refused for good and is at ${at}`)
    // An append is one in each topic: a topic that was created again is another.
    const name = intent.kind === 'plain' ? `${append}.${index}` : `${append}.${index} ${topicId}`
    const earlier = this.#where.get(name)
    this.#where.set(name, at)
    if (earlier !== undefined) {
      const isForgotten = intent.kind === 'key' && intent.calls > 1 && nowMs - intent.sinceMs > this.keyLifeMs
      if (!isForgotten) this.history.violate('D4', `record ${append}.${index} is at ${earlier} and at ${at}`)
    }
    if (index === 0) intent.commits.push({ topicId, partition, base: offset, attempt })
    if (index > 0 && truth.records[offset - 1]?.append !== append)
      this.history.violate('D3', `record ${append}.${index} at ${at} is not beside the one before it`)
    if (index === 0 && intent.expectedOffset !== undefined && intent.expectedOffset !== offset)
      this.history.violate('expectedOffset', `append ${append} expected ${intent.expectedOffset} and is at ${at}`)
    if (index === 0 && intent.stamp !== undefined) this.#checkSequence(truth, intent.stamp, intent.count, at)
  }

  #checkSequence(truth: PartitionTruth, stamp: ProducerStamp, count: number, at: string): void {
    const { producerId, epoch, sequence } = stamp
    const known = truth.producers.get(producerId)
    const what = `producer ${producerId}/${epoch}/${sequence} at ${at}`
    if (known !== undefined && epoch < known.epoch) this.history.violate('P3', `${what} after epoch ${known.epoch}`)
    const expected = known?.epoch === epoch ? sequenceAfter(known.last) : 0
    if (sequence !== expected) this.history.violate('P1', `${what}, where ${expected} was next`)
    truth.producers.set(producerId, { epoch, last: sequence + count - 1 })
  }

  /** The tail holds the last commits, all of them, at the offsets they got. */
  #checkTail(truth: PartitionTruth): void {
    const entries = Object.entries(truth.head.tail) as [ChunkReference, Offset][]
    const producers = Object.values(truth.head.producers)
    if (entries.length > tailEntriesMax || producers.length > headProducersMax)
      this.history.violate('D8', `${short(truth.key)} holds ${entries.length} entries, ${producers.length} producers`)
    for (const [ref, base] of entries)
      if (truth.bases.get(ref) !== base) this.history.violate('H2', `tail entry ${ref} at ${base}`)
    for (const { ref } of truth.commits.slice(truth.commits.length - entries.length))
      if (truth.head.tail[ref] === undefined) this.history.violate('D3', `the tail of ${short(truth.key)} lacks ${ref}`)
  }

  put(item: Item): void {
    const { collection, sort } = item.key
    if (collection === topicsCollection) {
      const topic = item.value as unknown as Topic
      this.#configured(topic)
      this.names.set(topic.id, topic.name)
      this.topics.set(topic.name, topic)
      this.history.note(`topic ${sort} ${topic.id.slice(0, 4)} ${topic.state} of ${topic.partitions}`)
    } else if (collection.startsWith('rows/')) {
      const row = item.value as unknown as Row
      const refs = row.chunks.map(({ ref, base }) => `${shortRef(ref)}@${base}`).join(' ')
      this.history.note(
        `row ${collection.slice(5, 9)}${collection.slice(27)} ${row.first}..${row.last}${row.isMerged ? ' merged' : ''} v=${item.version.slice(0, 4)} ${refs}`,
      )
      this.#checkRow(collection, row)
      this.view.put(collection, sort, row)
    } else if (item.bytes !== undefined) {
      this.inline.set(itemName(item.key), item.bytes.slice())
      this.history.note(`inline ${collection.slice(7, 11)} ${sort} of ${item.bytes.length} bytes`)
    } else if (isOfGroups(collection)) this.groups.put(item)
    else this.history.note(`item ${collection.slice(0, 20)} ${sort} put`)
  }

  #checkRow(collection: string, row: Row): void {
    const truth = [...this.partitions.values()].find(
      ({ key }) => rowsCollection(key.topicId, key.partition) === collection,
    )
    // A merge leaves out what lies below the log start, compaction anything (view.ts); nobody else does.
    const isCleaned = truth?.cleaning.isCompacted === true && row.isMerged
    const from = row.isMerged ? Math.max(row.first, truth?.head.start ?? 0) : row.first
    const begin = row.chunks[0]?.base ?? (isCleaned ? row.first : Number.POSITIVE_INFINITY)
    if (truth === undefined || row.last >= truth.hw || begin < row.first || (begin > from && !isCleaned)) {
      this.history.violate('row.ts', `${collection} has a row ${row.first}..${row.last}`)
      return
    }
    // Nobody knows the times of rows that are gone with their topic.
    if (truth.head.isDeleted) return
    let [maxMs, sinceStartMs] = [-1, -1]
    for (let offset = Math.min(row.first, truth.head.start); offset <= row.last; offset++) {
      const { timestampMs } = truth.records[offset]!
      if (offset >= row.first) maxMs = Math.max(maxMs, timestampMs)
      if (offset >= truth.head.start) sinceStartMs = Math.max(sinceStartMs, timestampMs)
    }
    const isTrue = row.maxTimestampMs === maxMs || (isCleaned && row.maxTimestampMs < maxMs)
    if (!isTrue || row.maxTimestampSoFarMs < Math.max(maxMs, sinceStartMs))
      this.history.violate('row.ts', `the largest timestamps of row ${row.first}..${row.last} of ${collection}`)
    if (row.isMerged) return
    for (const { ref, base } of row.chunks)
      if (truth.bases.get(ref) !== base) this.history.violate('row.ts', `${collection} has ${ref} at ${base}`)
  }

  deleted({ collection, sort }: Item['key']): void {
    if (collection === topicsCollection) this.topics.delete(sort)
    if (isOfGroups(collection)) this.groups.deleted({ collection, sort })
    this.history.note(`item ${collection.slice(0, 20)} ${sort} deleted`)
    if (collection.startsWith('rows/')) this.view.deleted(collection, sort)
    if (this.inline.delete(itemName({ collection, sort }))) this.view.checkAll()
  }

  objectDeleted(key: string): void {
    this.durable.delete(key)
    this.view.checkAll()
  }
}

function isOfGroups(collection: string): boolean {
  return /^(groups$|group-states$|members\/|offsets\/)/.test(collection)
}
