/**
 * Producer ids: from one counter, a block at a time, never given twice (P4). And forgetting: before the partition forgets a
 * producer, its floor is raised above that id, so that a late retry is refused instead of looking new.
 */
import { refusal } from '../core/errors.ts'
import type { HeadKey } from '../core/head.ts'
import type { Item, ProducerIdsItem, ProducerItem } from '../core/items.ts'
import { producerIdsKey, producersCollection } from '../core/items.ts'
import type { ProducerKey } from '../core/names.ts'
import { producerIdOfKey } from '../core/names.ts'
import type { Context } from './context.ts'
import type { Answer } from './log.ts'

const blockAttemptsMax = 50

export class ProducerIds {
  readonly #context: Context
  #next = 0
  #end = 0
  #taking: Promise<boolean> | undefined

  constructor(context: Context) {
    this.#context = context
  }

  async allocate(): Promise<Answer<{ producerId: number; epoch: number }>> {
    while (this.#next >= this.#end) {
      this.#taking ??= this.#takeBlock().finally(() => {
        this.#taking = undefined
      })
      if (!(await this.#taking))
        return refusal('STORAGE_UNAVAILABLE', 'Too many processes take producer ids at once.', { retryAfterMs: 1_000 })
    }
    return { ok: true, producerId: this.#next++, epoch: 0 }
  }

  async #takeBlock(): Promise<boolean> {
    const { metadata, settings } = this.#context
    for (let attempt = 1; attempt <= blockAttemptsMax; attempt++) {
      const item = await this.#context.persist(() => metadata.get(producerIdsKey))
      const next = (item?.value as ProducerIdsItem | undefined)?.next ?? 0
      const version = this.#context.newVersion()
      const value: ProducerIdsItem = { next: next + settings.producerIdBlock }
      const answer = await this.#context.persist(() =>
        metadata.write([
          {
            op: 'put',
            key: producerIdsKey,
            version,
            value: value as unknown as Item['value'],
            if: item === undefined ? 'absent' : { version: item.version },
          },
        ]),
      )
      // A block whose taking cannot be told is lost: ids are many.
      if (answer.applied || answer.items[0]?.version === version) {
        this.#next = next
        this.#end = value.next
        return true
      }
      await this.#context.pause(attempt)
    }
    return false
  }
}

/** Forgets producers whose items were not used for `producerIdExpirationMs`. Answers how many. */
export async function forgetProducers(context: Context, key: HeadKey): Promise<number> {
  const beforeMs = context.clock.now() - context.settings.producerIdExpirationMs
  const collection = producersCollection(key.topicId, key.partition)
  const pageItems = 500
  let from: string | undefined
  let forgotten = 0
  while (true) {
    const items = await context.persist(() =>
      context.metadata.query(collection, { ...(from === undefined ? {} : { from }), limit: pageItems }),
    )
    const idle = items.filter((item) => (item.value as unknown as ProducerItem).usedMs < beforeMs)
    const ids = idle.flatMap((item) => producerIdOfKey(item.key.sort as ProducerKey) ?? [])
    if (ids.length > 0) {
      // First the floor, then the items (P4). Refused means that it is at least as high already.
      const producerFloor = Math.max(...ids) + 1
      const answer = await context.persist(() => context.metadata.updateHead(key, { kind: 'forget', producerFloor }))
      if (answer.head !== undefined) context.heads.note(answer.head)
    }
    for (const item of idle) {
      const answer = await context.persist(() =>
        context.metadata.write([{ op: 'delete', key: item.key, if: { version: item.version } }]),
      )
      if (answer.applied) forgotten++
    }
    const last = items[items.length - 1]
    if (items.length < pageItems || last === undefined) return forgotten
    from = `${last.key.sort}\0`
  }
}
