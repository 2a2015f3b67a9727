/**
 * API keys: made, listed, revoked and checked. Of a new key the secret is answered once and stored as a hash only; a revoked
 * one leaves the list, and its item stays (A2).
 */
import {
  type ApiKey,
  type ApiKeyItem,
  apiKeyOf,
  apiKeysMax,
  type Credentials,
  checkNewKey,
  formatKey,
  isKeyId,
  isSameText,
  judgeKey,
  type KeyVerdict,
  type Need,
  type NewApiKey,
  newKeyId,
  newSecret,
} from '../core/api-key.ts'
import { refusal } from '../core/errors.ts'
import { apiKeyKey, apiKeysCollection, type Item } from '../core/items.ts'
import type { EpochMs } from '../core/names.ts'
import type { Clock, Metadata, Random } from '../ports.ts'
import type { Answer } from './log.ts'

/** What the keys need of a log; whoever has no log can give it, too. */
export interface ApiKeyHost {
  readonly metadata: Pick<Metadata, 'get' | 'query' | 'write'>
  readonly clock: Pick<Clock, 'now'>
  readonly random: Random
  /** Repeats work that may be repeated while the store fails. */
  persist<Result>(work: () => Promise<Result>): Promise<Result>
}

export interface CreatedApiKey {
  readonly key: ApiKey
  /** `<id>.<secret>`: all that its holder needs, and known to nobody else from here on. */
  readonly token: string
}

/** A key as it was read. */
interface Seen {
  readonly item: Promise<Item | undefined>
  readonly atMs: EpochMs
  /** Was found to be its: comparing with it takes a hundredth of the time that the hash takes, on every request. */
  rightSecret?: string
}

/** Ids that are remembered, whether there are such keys or not: whoever tries many only makes others be read again. */
const seenMax = 2_000
const pageItems = 500
/** How long a key is believed without asking again: within this time another process's revocation is seen. */
export const apiKeyAgeMsMax = 10_000

export class ApiKeys {
  readonly #host: ApiKeyHost
  readonly #ageMsMax: number
  readonly #seen = new Map<string, Seen>()

  /** @param ageMsMax how long a key is believed without asking again; 0: never */
  constructor(host: ApiKeyHost, ageMsMax: number = apiKeyAgeMsMax) {
    this.#host = host
    this.#ageMsMax = ageMsMax
  }

  async create(request: NewApiKey): Promise<Answer<CreatedApiKey>> {
    const { metadata, clock, random } = this.#host
    const createdMs = clock.now()
    const wrong = checkNewKey(request, createdMs)
    if (wrong !== undefined) return refusal('INVALID_REQUEST', wrong)
    // Those who come at the same moment may pass it by their number.
    if ((await this.list()).length >= apiKeysMax)
      return refusal('INVALID_REQUEST', `There are ${apiKeysMax} API keys; revoke one first.`)
    const credentials: Credentials = { keyId: newKeyId(random), secret: newSecret(random) }
    const item: ApiKeyItem = {
      name: request.name,
      secretHash: await hashOf(credentials.secret),
      allow: request.allow,
      createdMs,
      ...(request.expiresMs === undefined ? {} : { expiresMs: request.expiresMs }),
    }
    const key = apiKeyKey(credentials.keyId)
    const version = newKeyId(random)
    const answer = await this.#host.persist(() =>
      metadata.write([{ op: 'put', key, version, value: item as unknown as Item['value'], if: 'absent' }]),
    )
    // Refused by the version that is ours: an earlier attempt, whose answer got lost, was the creation.
    if (!answer.applied && answer.items[0]?.version !== version)
      return refusal('STORAGE_UNAVAILABLE', 'Another key was given the same id; try again.')
    return { ok: true, key: apiKeyOf(credentials.keyId, item), token: formatKey(credentials) }
  }

  /** Those that were not revoked, by id. */
  async list(): Promise<readonly ApiKey[]> {
    const keys: ApiKey[] = []
    let from: string | undefined
    while (true) {
      const range = { ...(from === undefined ? {} : { from }), limit: pageItems }
      const items = await this.#host.persist(() => this.#host.metadata.query(apiKeysCollection, range))
      for (const { key, value } of items) {
        const item = value as unknown as ApiKeyItem
        if (item.revokedMs === undefined) keys.push(apiKeyOf(key.sort, item))
      }
      const last = items[items.length - 1]
      if (items.length < pageItems || last === undefined) return keys
      from = `${last.key.sort}\0`
    }
  }

  /** At once for this process; others see it when they read the key again. Revoking twice is no mistake. */
  async revoke(id: string): Promise<Answer<object>> {
    const { metadata, clock, random } = this.#host
    const unknown = refusal('NOT_FOUND', `There is no API key ${JSON.stringify(id.slice(0, 100))}.`)
    if (!isKeyId(id)) return unknown
    const key = apiKeyKey(id)
    try {
      // Nobody else changes a key but to revoke it: who is beaten to it finds that done.
      const present = await this.#host.persist(() => metadata.get(key))
      const item = present?.value as ApiKeyItem | undefined
      if (present === undefined || item === undefined) return unknown
      if (item.revokedMs !== undefined) return { ok: true }
      const revoked: ApiKeyItem = { ...item, revokedMs: clock.now() }
      const write = {
        op: 'put',
        key,
        version: newKeyId(random),
        value: revoked as unknown as Item['value'],
        if: { version: present.version },
      } as const
      await this.#host.persist(() => metadata.write([write]))
      return { ok: true }
    } finally {
      this.#seen.delete(id)
    }
  }

  /** Throws `Unavailable` where the store cannot be asked: then nobody is let in (A1). */
  async check({ keyId, secret }: Credentials, need: Need): Promise<KeyVerdict> {
    const seen = this.#read(keyId)
    const item = (await seen.item)?.value as ApiKeyItem | undefined
    let isRight = seen.rightSecret !== undefined && isSameText(seen.rightSecret, secret)
    if (!isRight) {
      isRight = isSameText(await hashOf(secret), item?.secretHash ?? '')
      if (isRight) seen.rightSecret = secret
    }
    return judgeKey(keyId, item, isRight, need, this.#host.clock.now())
  }

  /** Those who ask at the same time share one read. */
  #read(keyId: string): Seen {
    const nowMs = this.#host.clock.now()
    const known = this.#seen.get(keyId)
    if (known !== undefined && nowMs - known.atMs < this.#ageMsMax) return known
    const item = this.#host.persist(() => this.#host.metadata.get(apiKeyKey(keyId)))
    const seen: Seen = { item, atMs: nowMs }
    if (this.#ageMsMax === 0) return seen
    this.#seen.delete(keyId)
    if (this.#seen.size >= seenMax) {
      const oldest = this.#seen.keys().next()
      if (!oldest.done) this.#seen.delete(oldest.value)
    }
    this.#seen.set(keyId, seen)
    // A failure is not remembered; who waits for it is told.
    item.catch(() => {
      if (this.#seen.get(keyId) === seen) this.#seen.delete(keyId)
    })
    return seen
  }
}

async function hashOf(secret: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret)))
  let hex = ''
  for (const byte of hash) hex += byte.toString(16).padStart(2, '0')
  return hex
}
