/**
 * Producers that note what they sent and what they were told, while the server behind them comes and goes; and a reader that
 * reads everything there is.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Highwater, type HighwaterError } from '../../lib/client/highwater.ts'

/** Where the server is just now; undefined while there is none. */
export interface Place {
  url: string | undefined
}

/** What one record may show in the log. */
export interface SentRecord {
  readonly topic: string
  readonly key: string
  readonly value: string
  /** Set when it was acknowledged. */
  place?: { readonly partition: number; readonly offset: number }
}

/** A producer at work until it is told to stop. */
export interface Working {
  readonly records: readonly SentRecord[]
  /** Answers other than 200, and failures, by what they said. */
  readonly refusals: ReadonlyMap<string, number>
  stop(): Promise<void>
}

const jsonType = 'application/vnd.kafka.json.v2+json'
const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)

/** `fetch` to wherever the server is; what was asked of a server that is not there fails as a connection does. */
export function fetchAt(place: Place): typeof fetch {
  return (url, init) => {
    if (place.url === undefined) return Promise.reject(new TypeError('fetch failed'))
    const { pathname, search } = new URL(String(url))
    return fetch(place.url + pathname + search, init)
  }
}

/** Sends requests without identity, one after the other: every attempt is an append of its own. */
export function plainProducer(place: Place, topic: string, name: string): Working {
  return working(async (note, count, refused) => {
    // Waiting for a server would only make records that are surely not there.
    if (place.url === undefined) return sleep(2)
    const records = Array.from({ length: 3 }, (_, index) => note(topic, name, `${name}:${count}:${index}`))
    const answer = await post(place, topic, records, {}).catch(() => undefined)
    if (answer?.status === 200) acknowledge(records, answer.body)
    else {
      refused(answer === undefined ? 'no answer' : `${answer.status} ${answer.body.message}`)
      await sleep(5)
    }
  })
}

/** Sends every request under a key of its own, again and again until it is answered with success. */
export function keyedProducer(place: Place, topic: string, name: string): Working {
  return working(async (note, count, refused) => {
    const records = [note(topic, name, `${name}:${count}:0`), note(topic, name, `${name}:${count}:1`)]
    for (;;) {
      const answer = await post(place, topic, records, { 'idempotency-key': `${name}-${count}` }).catch(() => undefined)
      if (answer?.status === 200) return acknowledge(records, answer.body)
      refused(answer === undefined ? 'no answer' : `${answer.status} ${answer.body.message}`)
      await sleep(5)
    }
  })
}

/** The client's producer, many records under way at once. */
export function clientProducer(place: Place, topic: string, name: string): Working {
  const highwater = new Highwater({ url: 'http://highwater.test', fetch: fetchAt(place), retryDelayMs: 20 })
  const producer = highwater.producer({ lingerMs: 2, compression: 'lz4' })
  const underWay = new Set<Promise<void>>()
  const inner = working(async (note, count, refused) => {
    const record = note(topic, `${name}-${keys[count % keys.length]}`, `${name}:${count}`)
    const sent = producer.send({ topic, key: record.key, value: record.value }).then(
      ({ partition, offset }) => {
        record.place = { partition, offset }
      },
      (error: HighwaterError) => refused(`${error.code} ${error.message}`),
    )
    underWay.add(sent)
    void sent.finally(() => underWay.delete(sent))
    if (underWay.size >= 300) await Promise.race(underWay)
    else if (count % 20 === 0) await sleep(1)
  })
  return {
    records: inner.records,
    refusals: inner.refusals,
    async stop() {
      await inner.stop()
      await producer.close()
    },
  }
}

type Note = (topic: string, key: string, value: string) => SentRecord

function working(step: (note: Note, count: number, refused: (why: string) => void) => Promise<void>): Working {
  const records: SentRecord[] = []
  const refusals = new Map<string, number>()
  let isStopped = false
  const note: Note = (topic, key, value) => {
    const record = { topic, key, value }
    records.push(record)
    return record
  }
  const refused = (why: string) => refusals.set(why, (refusals.get(why) ?? 0) + 1)
  const runs = (async () => {
    for (let count = 0; !isStopped; count++) await step(note, count, refused)
  })()
  return {
    records,
    refusals,
    stop() {
      isStopped = true
      return runs
    },
  }
}

interface ProduceAnswer {
  readonly status: number
  readonly body: {
    readonly message?: string
    readonly offsets?: readonly { readonly partition: number; readonly offset: number }[]
  }
}

async function post(
  place: Place,
  topic: string,
  records: readonly SentRecord[],
  headers: Readonly<Record<string, string>>,
): Promise<ProduceAnswer> {
  const response = await fetchAt(place)(`http://highwater.test/topics/${topic}`, {
    method: 'POST',
    headers: { 'content-type': jsonType, ...headers },
    body: JSON.stringify({ records: records.map(({ key, value }) => ({ key, value })) }),
    signal: AbortSignal.timeout(10_000),
  })
  return { status: response.status, body: (await response.json()) as ProduceAnswer['body'] }
}

function acknowledge(records: readonly SentRecord[], body: ProduceAnswer['body']): void {
  for (const [index, record] of records.entries()) {
    const place = body.offsets?.[index]
    assert.ok(place !== undefined && place.partition !== null, JSON.stringify(body))
    record.place = place
  }
}

export interface StoredRecord {
  /** Empty where there is none. */
  readonly key: string
  readonly value: string
  readonly partition: number
  readonly offset: number
}

/** Every record of a topic, by partition, in the order in which the server answers them, and each partition's end offset. */
export async function readTopic(
  url: string,
  topic: string,
  partitions: number,
  fetchWith: typeof fetch = fetch,
): Promise<StoredRecord[][]> {
  return Promise.all(
    Array.from({ length: partitions }, (_, partition) => readPartition(url, topic, partition, fetchWith)),
  )
}

async function readPartition(
  url: string,
  topic: string,
  partition: number,
  fetchWith: typeof fetch,
): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for (let offset = 0; ; ) {
    const path = `/topics/${topic}/partitions/${partition}/records?offset=${offset}&max_bytes=1000000`
    const response = await fetchWith(url + path, { headers: { accept: 'application/vnd.kafka.binary.v2+json' } })
    assert.equal(response.status, 200, await response.clone().text())
    for (const record of (await response.json()) as (StoredRecord & { readonly key: string | null })[])
      records.push({ ...record, key: textOf(record.key ?? ''), value: textOf(record.value) })
    offset = Number(response.headers.get('highwater-next-offset'))
    if (offset >= Number(response.headers.get('highwater-high-watermark'))) return records
  }
}

/** Values of the JSON format are JSON, of the client text; both are compared as text. */
function textOf(base64: string): string {
  const text = Buffer.from(base64, 'base64').toString()
  return text.startsWith('"') ? (JSON.parse(text) as string) : text
}

/**
 * What was sent against what is there. `once`: every record is there, once; otherwise every acknowledged one is there once,
 * and the others at most once, since each was sent once.
 */
export function checkTopic(stored: readonly StoredRecord[][], sent: readonly SentRecord[], once: boolean): void {
  const byValue = new Map<string, StoredRecord>()
  for (const [partition, records] of stored.entries())
    for (const [index, record] of records.entries()) {
      assert.equal(record.offset, index, `partition ${partition} has a hole, or a record twice, at ${index}`)
      assert.equal(record.partition, partition)
      assert.ok(!byValue.has(record.value), `${record.value} is there twice`)
      byValue.set(record.value, record)
    }
  const lastOfKey = new Map<string, { readonly record: SentRecord; readonly found: StoredRecord }>()
  for (const record of sent) {
    const found = byValue.get(record.value)
    byValue.delete(record.value)
    const { place } = record
    if (found === undefined) {
      assert.ok(place === undefined, `${record.value} was acknowledged and is not there`)
      assert.ok(!once, `${record.value} is not there`)
      continue
    }
    assert.equal(found.key, record.key)
    // An offset of -1: acknowledged as a repeat whose first answer is no longer remembered.
    if (place !== undefined && place.offset >= 0)
      assert.deepEqual([found.partition, found.offset], [place.partition, place.offset], record.value)
    const last = lastOfKey.get(record.key)
    if (last !== undefined) {
      assert.equal(found.partition, last.found.partition, `${record.key} is in two partitions`)
      assert.ok(found.offset > last.found.offset, `${record.value} comes before ${last.record.value}`)
    }
    lastOfKey.set(record.key, { record, found })
  }
  assert.deepEqual([...byValue.keys()], [], 'records that nobody sent')
}
