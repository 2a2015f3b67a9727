/**
 * Small requests through the deployed gateway, and the merge function that the table's stream calls: it batches what they left in the table
 * into segments, while readers compare every record. Counted before and after: objects, items, requests, capacity units.
 *
 *     node test/aws/run.ts test/aws/merges.aws.ts                   2,000 requests, as part of `npm run test:aws`
 *     REQUESTS=10000 node test/aws/run.ts test/aws/merges.aws.ts    all of them
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DynamoDbMetadata } from '../../lib/adapters/aws/dynamodb-metadata.ts'
import { S3Objects } from '../../lib/adapters/aws/s3-objects.ts'
import { inlineCollection, rowsCollection } from '../../lib/core/items.ts'
import type { TopicId } from '../../lib/core/names.ts'
import { listPrices } from '../../lib/core/prices.ts'
import { parseRow } from '../../lib/core/row.ts'
import { rowIds } from '../../lib/core/sweep-rule.ts'
import { ask } from './cloud/ask.ts'
import { type Caller, caller, signing } from './cloud/caller.ts'
import { type Cloud, startCloud, whyNoStack } from './cloud/cloud.ts'
import { accessKeyOf, bootstrap, deploy, type Stack } from './cloud/stack.ts'
import { UnitReckoner } from './cloud/units.ts'

const partitions = 50
/** Fewer would hardly fill a tail, and no row would come of it. */
const requestsMin = 30 * partitions
const requests = Math.max(requestsMin, Number(process.env.REQUESTS ?? 2_000))
const inFlight = 12
const readers = 2
const topic = 'merges'
/** So many of the requests are there before the stream's trigger is turned on: what would lie there without it. */
const shareBefore = 0.6
/** Small, so that all happens in minutes; nothing else differs from what anybody deploys. */
const settings = {
  mergeRowsMin: 8,
  mergeQuietMs: 1_000,
  mergeAgeMs: 5_000,
  tailAgeMsMax: 5_000,
  maintainRoundMs: 0,
  sweepAgeMs: 1_000,
}
const stackName = 'Highwater-merges'
const settleMsMax = 120_000

const missing = await whyNoStack()
describe(`${requests} requests of a record each over ${partitions} partitions`, { skip: missing ?? false }, () => {
  let cloud: Cloud
  let directory: string
  let stack: Stack
  let owner: Caller
  let topicId: TopicId
  let stores: { readonly metadata: DynamoDbMetadata; readonly objects: S3Objects }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-merges-'))
    cloud = await startCloud()
    await bootstrap(cloud, directory)
    const contexts = { stage: 'merges', dashboard: 'false', alarms: 'false', settings: JSON.stringify(settings) }
    stack = await deploy(cloud, directory, contexts, { stackName })
    owner = caller(stack, signing(cloud, cloud.credentials))
    if (cloud.recorder !== undefined) cloud.recorder.reckoner = new UnitReckoner()
    const { endpoint, region, credentials } = cloud
    const service = { endpoint, region, credentials }
    stores = {
      metadata: new DynamoDbMetadata({ ...service, table: stack.table }),
      objects: new S3Objects({ ...service, bucket: stack.bucket }),
    }
  })
  after(async () => {
    stores?.metadata.close()
    stores?.objects.close()
    await cloud?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  test('become a few segments by the function that the stream calls; the table holds none of them at the end; reads are right at every moment', async (t) => {
    await owner.client().admin.createTopic(topic, { partitions })
    topicId = (await stores.metadata.query('topics', { limit: 9 })).map(({ value }) => value as { id: TopicId })[0]!.id
    const ledger = new Ledger()
    await switchMapping(false)

    const startedMs = performance.now()
    const reading = startReaders(ledger)
    const first = await produceUntil(Math.floor(requests * shareBefore), 0, ledger)
    const before = await counts()
    say(t, 'before the merge function', before)
    assert.equal(before.segments, 0)
    assert.ok(before.inline >= first && before.inline <= first + ledger.maybes)
    sayRequests(t, 'until then')

    await switchMapping(true)
    const all = await produceUntil(requests, Math.floor(requests * shareBefore), ledger)
    const seconds = (performance.now() - startedMs) / 1_000
    t.diagnostic(
      `${first + all} requests acknowledged in ${seconds.toFixed(0)} s, ${ledger.maybes} answered by 500 and above`,
    )
    const merged = await settled()
    say(t, "when the stream's rows are merged", merged)
    assert.ok(merged.merged > 0 && merged.inline < first + all, 'the merge function has merged')
    sayRequests(t, 'since then')

    // As the schedule does: what is left is old by now, and is merged although it is little.
    await sleep(settings.tailAgeMsMax)
    let last = merged
    for (let rounds = 0; rounds < 4 && (last.inline > 0 || last.tails > 0); rounds++) {
      const round = (await invoke('maintain')) as {
        readonly ok: boolean
        readonly isRoundOver: boolean
        readonly failed: number
      }
      assert.ok(round.ok && round.isRoundOver && round.failed === 0)
      await sleep(settings.mergeQuietMs)
      last = await counts()
    }
    // What was superseded just now is too young for the first sweep.
    let swept = last
    for (let rounds = 0; rounds < 4 && (rounds === 0 || swept.segments > swept.named); rounds++) {
      await sleep(settings.sweepAgeMs)
      await invoke('sweep')
      swept = await counts()
    }
    await reading.stop()
    say(t, 'after the schedule came: upkeep and the sweep', swept)
    sayRequests(t, 'meanwhile')
    t.diagnostic(
      `${ledger.compared} records were read and compared meanwhile, in ${reading.reads()} reads from offset 0`,
    )

    assert.equal(swept.inline, 0, 'no small chunk is left in the table')
    assert.ok(swept.named <= 3 * partitions, `a few segments hold all records, not ${swept.named}`)
    assert.equal(swept.segments, swept.named, 'and no other object is there')
    assert.ok(swept.rows <= 3 * partitions)
    for (let partition = 0; partition < partitions; partition++) await readWhole(partition, ledger)
    assert.equal(ledger.acknowledged, first + all)
    assert.ok(first + all >= 0.99 * requests, 'nearly all are taken')
    ledger.checkAll()
  })

  /** Sends one record each; answers how many were acknowledged. */
  async function produceUntil(end: number, begin: number, ledger: Ledger): Promise<number> {
    let next = begin
    let acknowledged = 0
    const worker = async () => {
      while (next < end) {
        const index = next++
        const partition = index % partitions
        const value = `${partition}/${index}`
        const { status, json, text } = await owner.send('POST', `/topics/${topic}/partitions/${partition}`, {
          headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
          body: JSON.stringify({ records: [{ value }] }),
        })
        if (status >= 500) {
          // A busy machine: nobody knows whether it is there.
          ledger.maybe(value)
          continue
        }
        assert.equal(status, 200, text)
        ledger.acknowledge(partition, json.offsets[0].offset, value)
        acknowledged++
      }
    }
    await Promise.all(Array.from({ length: inFlight }, worker))
    return acknowledged
  }

  function startReaders(ledger: Ledger): { stop(): Promise<void>; reads(): number } {
    let isStopped = false
    let reads = 0
    const reader = async (at: number) => {
      for (let partition = at; !isStopped; partition = (partition + readers) % partitions) {
        await readWhole(partition, ledger)
        reads++
      }
    }
    const running = Promise.all(Array.from({ length: readers }, (_, at) => reader(at)))
    // What fails is told when they are stopped.
    running.catch(() => {})
    return {
      stop: async () => {
        isStopped = true
        await running
      },
      reads: () => reads,
    }
  }

  /** From offset 0 to the end: every offset, and what was acknowledged before is there. */
  async function readWhole(partition: number, ledger: Ledger): Promise<void> {
    const least = ledger.endOf(partition)
    let offset = 0
    while (true) {
      const path = `/topics/${topic}/partitions/${partition}/records?offset=${offset}`
      const { status, json, text, headers } = await owner.send('GET', path, {
        headers: { accept: 'application/vnd.kafka.json.v2+json' },
      })
      if (status >= 500) continue
      assert.equal(status, 200, text)
      for (const record of json as { offset: number; value: string }[]) {
        assert.equal(record.offset, offset, `partition ${partition}: offsets are dense (D3)`)
        ledger.see(partition, offset++, record.value)
      }
      if (offset >= Number(headers.get('highwater-high-watermark'))) break
    }
    assert.ok(offset >= least, `partition ${partition} ended at ${offset}, and ${least} was acknowledged (D2)`)
  }

  async function counts() {
    const { metadata, objects } = stores
    let inline = 0
    let rows = 0
    let merged = 0
    let tails = 0
    const named = new Set<string>()
    for (let partition = 0; partition < partitions; partition++) {
      inline += (await metadata.query(inlineCollection(topicId, partition), { limit: 1_000 })).length
      const head = await metadata.readHead({ topicId, partition })
      tails += Object.keys(head?.tail ?? {}).length
      for (const { value } of await metadata.query(rowsCollection(topicId, partition), { limit: 1_000 })) {
        const row = parseRow(value)
        rows++
        if (row.isMerged) merged++
        for (const id of rowIds(row, false)) named.add(id)
      }
    }
    const segments = (await objects.list('segments/', undefined, 100_000)).length
    return { segments, named: named.size, inline, rows, merged, tails }
  }

  /** Waits until the function has come to all rows that were put: until nothing changes for a while. */
  async function settled(): Promise<Awaited<ReturnType<typeof counts>>> {
    const untilMs = Date.now() + settleMsMax
    let last = await counts()
    for (let still = 0; still < 3 && Date.now() < untilMs; ) {
      await sleep(2_000)
      const now = await counts()
      still = JSON.stringify(now) === JSON.stringify(last) && now.merged > 0 ? still + 1 : 0
      last = now
    }
    return last
  }

  async function switchMapping(isOn: boolean): Promise<void> {
    const mappings = '/2015-03-31/event-source-mappings/'
    const { EventSourceMappings } = (await ask(cloud, 'lambda', 'GET', mappings)) as {
      EventSourceMappings: { UUID: string; FunctionArn: string; FilterCriteria?: { Filters: { Pattern: string }[] } }[]
    }
    const merge = functionOf('merge')
    const [mapping, ...others] = EventSourceMappings.filter(({ FunctionArn }) => FunctionArn === merge.arn)
    assert.ok(mapping !== undefined && others.length === 0, 'the stack has made one mapping')
    assert.match(mapping.FilterCriteria?.Filters[0]?.Pattern ?? '', /INSERT.*rows\//)
    await ask(cloud, 'lambda', 'PUT', `${mappings}${mapping.UUID}`, { Enabled: isOn })
  }

  function functionOf(name: string) {
    const found = stack.functions.find((each) => each.name === name)
    assert.ok(found, name)
    return found
  }

  function invoke(name: string): Promise<unknown> {
    return ask(cloud, 'lambda', 'POST', `/2015-03-31/functions/${functionOf(name).functionName}/invocations`, {})
  }

  function say(
    t: TestContext,
    when: string,
    { segments, named, inline, rows, merged, tails }: Awaited<ReturnType<typeof counts>>,
  ): void {
    t.diagnostic(
      `${when}: ${segments} objects, ${named} of them named; ${inline} small chunks in the table, ${rows} rows (${merged} merged), ${tails} entries in tails`,
    )
  }

  /** What each function asked of the stores since the last time, and what that costs. */
  function sayRequests(t: TestContext, when: string): void {
    const { recorder } = cloud
    if (recorder === undefined) return
    const asked = recorder.asked.splice(0)
    for (const deployed of stack.functions) {
      const whole = asked.filter(({ isFirst, accessKeyId }) => isFirst && accessKeyId === accessKeyOf(deployed))
      if (whole.length === 0) continue
      const byRequest = new Map<string, number>()
      for (const { request } of whole) byRequest.set(request, (byRequest.get(request) ?? 0) + 1)
      const unitsOf = (isRead: boolean) =>
        whole.reduce((sum, { request, units }) => (/^(GetItem|Query)$/.test(request) === isRead ? sum + units : sum), 0)
      const [writes, reads] = [unitsOf(false), unitsOf(true)]
      const [puts, gets] = [byRequest.get('PUT') ?? 0, byRequest.get('GET') ?? 0]
      const { s3Put, s3Get, dynamoDbWrite, dynamoDbRead } = listPrices
      const usd = puts * s3Put + gets * s3Get + writes * dynamoDbWrite + reads * dynamoDbRead
      t.diagnostic(
        `${when}, ${deployed.name}: ${[...byRequest].map(([what, count]) => `${count} ${what}`).join(', ')}; ${writes} write and ${reads} read units; $${usd.toFixed(5)}`,
      )
    }
  }
})

/** What was acknowledged, and what was read, by partition and offset. */
class Ledger {
  readonly #acknowledged = new Map<string, string>()
  readonly #seen = new Map<string, string>()
  readonly #ends = new Map<number, number>()
  readonly #maybe = new Set<string>()
  compared = 0

  get maybes(): number {
    return this.#maybe.size
  }

  /** It was sent, and not acknowledged. */
  maybe(value: string): void {
    this.#maybe.add(value)
  }

  get acknowledged(): number {
    return this.#acknowledged.size
  }

  acknowledge(partition: number, offset: number, value: string): void {
    const place = `${partition}/${offset}`
    assert.equal(this.#acknowledged.get(place), undefined, `${place} was given to two records`)
    this.#acknowledged.set(place, value)
    this.#ends.set(partition, Math.max(this.endOf(partition), offset + 1))
  }

  /** One past the largest offset that was acknowledged. */
  endOf(partition: number): number {
    return this.#ends.get(partition) ?? 0
  }

  see(partition: number, offset: number, value: string): void {
    const place = `${partition}/${offset}`
    const known = this.#acknowledged.get(place) ?? this.#seen.get(place)
    if (known === undefined) this.#seen.set(place, value)
    else {
      assert.equal(value, known, `what is at ${place}`)
      this.compared++
    }
  }

  /** What was read before it was acknowledged was the same, and nothing else was ever read. */
  checkAll(): void {
    for (const [place, value] of this.#seen)
      if (!this.#maybe.has(value)) assert.equal(this.#acknowledged.get(place), value, place)
  }
}
