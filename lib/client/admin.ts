/** Topics, their partitions, and API keys: the administrative part of the client. */
import type { ApiKey, Work } from '../core/api-key.ts'
import type { CostReport } from '../core/cost-report.ts'
import { costOf, type SaidCost } from './cost.ts'
import { GroupAdmin } from './group-admin.ts'
import { type OffsetAtTime, type Offsets, offsetAtOrAfter, offsetsOf } from './offsets.ts'
import { type Ask, jsonOf, type Transport } from './transport.ts'
import { Verification } from './verification.ts'

export interface Cluster {
  readonly clusterId: string
}

export interface TopicSummary {
  readonly name: string
  readonly partitions: number
  /** Identity of this incarnation of the topic, where the server says it. */
  readonly topicId?: string
}

export interface TopicConfig {
  readonly value: string | null
  readonly isDefault: boolean
}

export interface TopicDescription extends TopicSummary {
  /** Every config, those that were not set with their defaults. */
  readonly configs: Readonly<Record<string, TopicConfig>>
}

export interface CreateTopicOptions {
  /** @default the server's `partitionsDefault` */
  readonly partitions?: number
  /** Kafka's topic configs, e.g. `{ 'retention.ms': '3600000' }`. */
  readonly configs?: Readonly<Record<string, string>>
  /** Check everything, create nothing. @default false */
  readonly validateOnly?: boolean
}

export interface CreateApiKeyOptions {
  /** For people. */
  readonly name: string
  /** What it may be used for. */
  readonly allow: readonly Work[]
  /** When it ends, in milliseconds since 1970. @default never */
  readonly expiresMs?: number
}

export interface CreatedApiKey extends ApiKey {
  /** `<id>.<secret>`, for `apiKey` of a client. Nobody can say it again. */
  readonly key: string
}

interface SaidApiKey {
  readonly id: string
  readonly name: string
  readonly allow: readonly Work[]
  readonly created_ms: number
  readonly expires_ms: number | null
}

interface SaidTopic {
  readonly topic_name: string
  readonly partitions_count: number
  readonly topic_id?: string
}

interface SaidConfig {
  readonly name: string
  readonly value: string | null
  readonly is_default: boolean
}

interface SaidList<Item> {
  readonly metadata: { readonly next: string | null }
  readonly data: readonly Item[]
}

/** Pages of a list; a server that never ends one is wrong. */
const pagesMax = 10_000

/**
 * Manages topics; {@link Highwater.admin}. Reads are repeated where they fail in passing; changes only where they certainly
 * did nothing, so that an error with `effects: 'possible'` means: look before you try again.
 *
 * @example
 * await highwater.admin.createTopic('orders', { partitions: 3, configs: { 'retention.ms': '3600000' } })
 * console.log(await highwater.admin.listTopics())
 */
export class Admin {
  /** Consumer groups. */
  readonly groups: GroupAdmin
  /** Looking for damage. */
  readonly verification: Verification
  readonly #transport: Transport
  #cluster: Promise<Cluster> | undefined

  constructor(transport: Transport) {
    this.#transport = transport
    this.groups = new GroupAdmin(transport)
    this.verification = new Verification(transport)
  }

  /**
   * Who answers here.
   *
   * @example
   * const { clusterId } = await highwater.admin.cluster()
   */
  async cluster(): Promise<Cluster> {
    const path = ['v3', 'clusters']
    const clusters = await this.#read<SaidList<{ readonly cluster_id: string }>>({ method: 'GET', path })
    return { clusterId: clusters.data[0]?.cluster_id ?? '' }
  }

  /**
   * Creates a topic: TOPIC_ALREADY_EXISTS, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_CONFIG.
   *
   * @example
   * await highwater.admin.createTopic('orders', { partitions: 3 })
   */
  async createTopic(name: string, options: CreateTopicOptions = {}): Promise<TopicSummary> {
    const { partitions, configs = {}, validateOnly } = options
    const body = {
      topic_name: name,
      ...(partitions === undefined ? {} : { partitions_count: partitions }),
      ...(validateOnly === undefined ? {} : { validate_only: validateOnly }),
      configs: Object.entries(configs).map(([config, value]) => ({ name: config, value })),
    }
    const answer = await this.#change('POST', await this.#topicsPath(), body)
    return summaryOf(jsonOf<SaidTopic>(answer, 'Creating a topic'))
  }

  /**
   * The topics there are, by name.
   *
   * @example
   * for (const { name, partitions } of await highwater.admin.listTopics()) console.log(name, partitions)
   */
  async listTopics(): Promise<TopicSummary[]> {
    return (await this.#list<SaidTopic>(await this.#topicsPath())).map(summaryOf)
  }

  /**
   * A topic with its configs: UNKNOWN_TOPIC.
   *
   * @example
   * const { configs } = await highwater.admin.describeTopic('orders')
   * console.log(configs['retention.ms']?.value)
   */
  async describeTopic(name: string): Promise<TopicDescription> {
    const path = [...(await this.#topicsPath()), name]
    const [topic, configs] = await Promise.all([
      this.#read<SaidTopic>({ method: 'GET', path }),
      this.#list<SaidConfig>([...path, 'configs']),
    ])
    return {
      ...summaryOf(topic),
      configs: Object.fromEntries(
        configs.map((config) => [config.name, { value: config.value, isDefault: config.is_default }]),
      ),
    }
  }

  /**
   * Sets configs, or with null returns them to their defaults, all at once: UNKNOWN_TOPIC, UNKNOWN_CONFIG, INVALID_CONFIG.
   *
   * @example
   * await highwater.admin.alterConfigs('orders', { 'retention.ms': '60000', 'cleanup.policy': null })
   */
  async alterConfigs(name: string, configs: Readonly<Record<string, string | null>>): Promise<void> {
    const data = Object.entries(configs).map(([config, value]) =>
      value === null ? { name: config, operation: 'DELETE' } : { name: config, value, operation: 'SET' },
    )
    await this.#change('POST', [...(await this.#topicsPath()), name, 'configs:alter'], { data })
  }

  /**
   * Raises the partition count to `partitions`: UNKNOWN_TOPIC, INVALID_PARTITIONS. Keys move to other partitions by it.
   *
   * @example
   * await highwater.admin.addPartitions('orders', 6)
   */
  async addPartitions(name: string, partitions: number): Promise<TopicSummary> {
    const path = [...(await this.#topicsPath()), name]
    const answer = await this.#change('PATCH', path, { partitions_count: partitions })
    return summaryOf(jsonOf<SaidTopic>(answer, 'Adding partitions'))
  }

  /**
   * Deletes a topic with all its records: UNKNOWN_TOPIC.
   *
   * @example
   * await highwater.admin.deleteTopic('orders')
   */
  async deleteTopic(name: string): Promise<void> {
    await this.#change('DELETE', [...(await this.#topicsPath()), name])
  }

  /**
   * The offsets that can be read: UNKNOWN_TOPIC, UNKNOWN_PARTITION.
   *
   * @example
   * const { startOffset, endOffset } = await highwater.admin.offsets('orders', 0)
   */
  offsets(topic: string, partition: number): Promise<Offsets> {
    return offsetsOf(this.#transport, topic, partition)
  }

  /**
   * The first record at or after a time: UNKNOWN_TOPIC, UNKNOWN_PARTITION.
   *
   * @example
   * const { offset, endOffset } = await highwater.admin.offsetForTimestamp('orders', 0, Date.now() - 3_600_000)
   * const reader = highwater.reader({ topic: 'orders', partition: 0, from: { offset: offset ?? endOffset } })
   */
  offsetForTimestamp(topic: string, partition: number, timestampMs: number): Promise<OffsetAtTime> {
    return offsetAtOrAfter(this.#transport, topic, partition, timestampMs)
  }

  /**
   * Deletes the records of a partition before an offset, or all of them; answers the new start: OFFSET_OUT_OF_RANGE.
   *
   * @example
   * const { startOffset } = await highwater.admin.deleteRecords('orders', 0, 1_000)
   */
  async deleteRecords(
    topic: string,
    partition: number,
    beforeOffset: number | 'end',
  ): Promise<{ readonly startOffset: number }> {
    const answer = await this.#transport.askUntilAnswered(
      {
        method: 'DELETE',
        path: ['topics', topic, 'partitions', String(partition), 'records'],
        query: { before_offset: beforeOffset === 'end' ? -1 : beforeOffset },
        headers: { accept: 'application/json' },
      },
      false,
    )
    const said = jsonOf<{ readonly beginning_offset: number }>(answer, 'Deleting records')
    return { startOffset: said.beginning_offset }
  }

  /**
   * Creates an API key: INVALID_REQUEST. After a failure with `effects: 'possible'` there may be a key that nobody knows: revoke it.
   *
   * @example
   * const { key } = await highwater.admin.createApiKey({ name: 'order service', allow: ['produce'] })
   */
  async createApiKey({ name, allow, expiresMs }: CreateApiKeyOptions): Promise<CreatedApiKey> {
    const body = { name, allow, ...(expiresMs === undefined ? {} : { expires_ms: expiresMs }) }
    const answer = await this.#change('POST', ['api-keys'], body)
    const said = jsonOf<SaidApiKey & { readonly key: string }>(answer, 'Creating an API key')
    return { ...apiKeyOf(said), key: said.key }
  }

  /**
   * The API keys there are, by id, without their secrets.
   *
   * @example
   * for (const { id, name, allow } of await highwater.admin.listApiKeys()) console.log(id, name, allow)
   */
  async listApiKeys(): Promise<ApiKey[]> {
    const { data } = await this.#read<{ readonly data: readonly SaidApiKey[] }>({ method: 'GET', path: ['api-keys'] })
    return data.map(apiKeyOf)
  }

  /**
   * Revokes an API key for ever: NOT_FOUND. A gateway may let it in for five more minutes.
   *
   * @example
   * await highwater.admin.revokeApiKey('hw5k0vq3x1m9c2f7ab')
   */
  async revokeApiKey(id: string): Promise<void> {
    await this.#change('DELETE', ['api-keys', id])
  }

  /**
   * What requests to the stores and storage cost, by topic and operation, over the server's last hour and projected for a month, priced as
   * on AWS. NOT_FOUND where the log runs as functions: none of them knows what the others do.
   *
   * @example
   * const { usdPerMonth, storageUsdPerMonth, used } = await highwater.admin.cost()
   * console.log(usdPerMonth + storageUsdPerMonth, used[0]?.topic, used[0]?.operation)
   */
  async cost(): Promise<CostReport> {
    return costOf(await this.#read<SaidCost>({ method: 'GET', path: ['cost'] }))
  }

  /** The cluster's id is part of the paths; it never changes. */
  async #topicsPath(): Promise<string[]> {
    this.#cluster ??= this.cluster()
    try {
      return ['v3', 'clusters', (await this.#cluster).clusterId, 'topics']
    } catch (error) {
      this.#cluster = undefined
      throw error
    }
  }

  async #read<Value>(ask: Ask): Promise<Value> {
    const answer = await this.#transport.askUntilAnswered({ headers: { accept: 'application/json' }, ...ask }, true)
    return jsonOf<Value>(answer, `${ask.method} /${ask.path.join('/')}`)
  }

  async #list<Item>(path: string[]): Promise<Item[]> {
    const items: Item[] = []
    let query: Record<string, string> = {}
    for (let page = 0; page < pagesMax; page++) {
      const { data, metadata } = await this.#read<SaidList<Item>>({ method: 'GET', path, query })
      items.push(...data)
      if (metadata.next === null) break
      query = Object.fromEntries(new URL(metadata.next).searchParams)
    }
    return items
  }

  #change(method: 'POST' | 'PATCH' | 'DELETE', path: string[], body?: object) {
    const ask: Ask = {
      method,
      path,
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
    }
    return this.#transport.askUntilAnswered(ask, false)
  }
}

function summaryOf(said: SaidTopic): TopicSummary {
  return {
    name: said.topic_name,
    partitions: said.partitions_count,
    ...(said.topic_id === undefined ? {} : { topicId: said.topic_id }),
  }
}

function apiKeyOf({ id, name, allow, created_ms, expires_ms }: SaidApiKey): ApiKey {
  return { id, name, allow, createdMs: created_ms, ...(expires_ms === null ? {} : { expiresMs: expires_ms }) }
}
