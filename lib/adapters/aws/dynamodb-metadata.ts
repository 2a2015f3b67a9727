/**
 * Metadata in one DynamoDB table (keys and attributes: dynamodb-attributes.ts).
 *
 *     readHead, get     GetItem, strongly consistent
 *     query             Query, strongly consistent, page after page up to the limit
 *     createHead        PutItem if there is none
 *     updateHead        UpdateItem whose condition is the rule (dynamodb-head.ts): one write, no read, and the new head in its answer
 *     updateHead + also TransactWriteItems; the new head is not in its answer
 *     write             PutItem or DeleteItem with a condition, or TransactWriteItems
 *
 * A refused condition answers what is there (`ALL_OLD`). A cancelled transaction tells it only of the items whose own condition
 * failed; the others are read, so that what a refusal answers is present, though not of one moment.
 *
 * Every write is sent once by the SDK. It is sent again here only where the service says that it did not apply it.
 */
import type { CancellationReason, ConsumedCapacity, TransactWriteItem } from '@aws-sdk/client-dynamodb'
import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import type { Head, HeadCommand, HeadKey } from '../../core/head.ts'
import { decideHead, newHead } from '../../core/head.ts'
import type { Item, ItemKey } from '../../core/items.ts'
import type { Condition, HeadAnswer, ItemWrite, Metadata, QueryRange, WriteAnswer } from '../../ports.ts'
import { assertWrites, isMet } from '../item-conditions.ts'
import type { ServiceOptions } from './aws-client.ts'
import { clientConfig, readAttemptsMax } from './aws-client.ts'
import { attempted, translated } from './aws-errors.ts'
import type { Attributes } from './dynamodb-attributes.ts'
import {
  decodeHead,
  decodeItem,
  encodeHead,
  encodeItem,
  headKeyAttributes,
  itemKeyAttributes,
} from './dynamodb-attributes.ts'
import { headUpdate } from './dynamodb-head.ts'

export interface DynamoDbMetadataOptions extends ServiceOptions {
  /** Its partition key is `pk`, its sort key `sk`, both strings. */
  readonly table: string
  /** Told of what each answered request was billed for, in capacity units. Refused conditions are billed too, but do not say how much. */
  readonly onConsumed?: (action: string, units: number) => void
}

/** The service answers in milliseconds; what takes this long got lost. */
const requestTimeoutMsDefault = 3_000

const answersOld = { ReturnValuesOnConditionCheckFailure: 'ALL_OLD' } as const

export class DynamoDbMetadata implements Metadata {
  readonly #table: { readonly TableName: string }
  readonly #reads: DynamoDBClient
  /** Sends once. */
  readonly #writes: DynamoDBClient

  constructor(options: DynamoDbMetadataOptions) {
    this.#table = { TableName: options.table }
    const config = clientConfig(options, requestTimeoutMsDefault)
    this.#reads = new DynamoDBClient({ ...config, maxAttempts: readAttemptsMax })
    this.#writes = new DynamoDBClient({ ...config, requestHandler: this.#reads.config.requestHandler, maxAttempts: 1 })
    const { onConsumed } = options
    if (onConsumed !== undefined) for (const client of [this.#reads, this.#writes]) tellConsumed(client, onConsumed)
  }

  async readHead(key: HeadKey): Promise<Head | undefined> {
    const attributes = await this.#read(headKeyAttributes(key))
    return attributes && decodeHead(key, attributes)
  }

  async createHead(head: Head): Promise<'created' | 'exists'> {
    const put = new PutItemCommand({ ...this.#table, Item: encodeHead(head), ...conditionOf('absent') })
    try {
      await attempted(() => this.#writes.send(put))
      return 'created'
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return 'exists'
      throw translated('DynamoDB PutItem', 'write', error)
    }
  }

  async updateHead(key: HeadKey, command: HeadCommand, also: readonly ItemWrite[] = []): Promise<HeadAnswer> {
    assertWrites(also, 1)
    // The rule's own assertions: what it cannot judge must not be asked of the store.
    decideHead(newHead(key), command)
    const update = { ...this.#table, Key: headKeyAttributes(key), ...headUpdate(command), ...answersOld }
    if (also.length > 0) {
      const reasons = await this.#transact([{ Update: update }, ...also.map((write) => this.#transactItem(write))])
      if (reasons === undefined) return { applied: true, head: undefined }
      const [head, items] = await Promise.all([
        reasons[0]?.Item ? decodeHead(key, reasons[0].Item) : this.readHead(key),
        this.#present(also, reasons.slice(1)),
      ])
      return { applied: false, head, items }
    }
    try {
      const request = new UpdateItemCommand({ ...update, ReturnValues: 'ALL_NEW' })
      const { Attributes: next } = await attempted(() => this.#writes.send(request))
      return { applied: true, head: next && decodeHead(key, next) }
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException)
        return { applied: false, head: error.Item && decodeHead(key, error.Item), items: [] }
      throw translated('DynamoDB UpdateItem', 'write', error)
    }
  }

  async get(key: ItemKey): Promise<Item | undefined> {
    const attributes = await this.#read(itemKeyAttributes(key))
    return attributes && decodeItem(attributes)
  }

  async query(collection: string, { from = '', to, limit, reverse = false }: QueryRange): Promise<readonly Item[]> {
    // The service refuses an empty range, and an empty key.
    if (to !== undefined && (to === '' || from > to)) return []
    const bounds = [
      from !== '' && to !== undefined ? 'sk BETWEEN :from AND :to' : '',
      from !== '' && to === undefined ? 'sk >= :from' : '',
      from === '' && to !== undefined ? 'sk <= :to' : '',
    ]
    const request = {
      ...this.#table,
      KeyConditionExpression: ['pk = :pk', ...bounds.filter((bound) => bound !== '')].join(' AND '),
      ExpressionAttributeValues: {
        ':pk': { S: collection },
        ...(from !== '' && { ':from': { S: from } }),
        ...(to !== undefined && { ':to': { S: to } }),
      },
      ConsistentRead: true,
      ScanIndexForward: !reverse,
    }
    const items: Item[] = []
    let after: Attributes | undefined
    while (items.length < limit) {
      const command = new QueryCommand({
        ...request,
        Limit: limit - items.length,
        ...(after && { ExclusiveStartKey: after }),
      })
      const page = await this.#reads.send(command).catch((error: unknown) => {
        throw translated('DynamoDB Query', 'read', error)
      })
      for (const attributes of page.Items ?? []) items.push(decodeItem(attributes))
      // A page ends at a megabyte: only the missing key says that there is no more.
      after = page.LastEvaluatedKey
      if (after === undefined) break
    }
    return items
  }

  async write(writes: readonly ItemWrite[]): Promise<WriteAnswer> {
    assertWrites(writes)
    const [only] = writes
    if (only === undefined) return { applied: true }
    if (writes.length === 1) return this.#writeOne(only)
    const reasons = await this.#transact(writes.map((write) => this.#transactItem(write)))
    return reasons === undefined ? { applied: true } : { applied: false, items: await this.#present(writes, reasons) }
  }

  /** Closes the connections. */
  close(): void {
    this.#reads.destroy()
    this.#writes.destroy()
  }

  async #read(key: Attributes): Promise<Attributes | undefined> {
    try {
      const { Item: attributes } = await this.#reads.send(
        new GetItemCommand({ ...this.#table, Key: key, ConsistentRead: true }),
      )
      return attributes
    } catch (error) {
      throw translated('DynamoDB GetItem', 'read', error)
    }
  }

  async #writeOne(write: ItemWrite): Promise<WriteAnswer> {
    try {
      switch (write.op) {
        case 'put': {
          const request = { ...this.#table, Item: encodeItem(write), ...conditionOf(write.if), ...answersOld }
          await attempted(() => this.#writes.send(new PutItemCommand(request)))
          break
        }
        case 'delete': {
          const request = { ...this.#table, Key: itemKeyAttributes(write.key), ...conditionOf(write.if), ...answersOld }
          await attempted(() => this.#writes.send(new DeleteItemCommand(request)))
          break
        }
        case 'check': {
          const item = await this.get(write.key)
          return isMet(write.if, item) ? { applied: true } : { applied: false, items: [item] }
        }
        default:
          write satisfies never
      }
      return { applied: true }
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException)
        return { applied: false, items: [error.Item && decodeItem(error.Item)] }
      throw translated(`DynamoDB ${write.op} of an item`, 'write', error)
    }
  }

  /** undefined: applied. Otherwise why not, for each in order; of those without a failed condition nothing is known. */
  async #transact(writes: TransactWriteItem[]): Promise<readonly CancellationReason[] | undefined> {
    try {
      await attempted(() => this.#writes.send(new TransactWriteItemsCommand({ TransactItems: writes })))
      return undefined
    } catch (error) {
      const reasons = error instanceof TransactionCanceledException ? (error.CancellationReasons ?? []) : []
      if (reasons.some(isRefusal)) return reasons
      throw translated('DynamoDB TransactWriteItems', 'write', error)
    }
  }

  #transactItem(write: ItemWrite): TransactWriteItem {
    const condition = { ...this.#table, ...conditionOf(write.if), ...answersOld }
    switch (write.op) {
      case 'put':
        return { Put: { ...condition, Item: encodeItem(write) } }
      case 'delete':
        return { Delete: { ...condition, Key: itemKeyAttributes(write.key) } }
      case 'check':
        return { ConditionCheck: { ...condition, Key: itemKeyAttributes(write.key) } }
      default:
        return write satisfies never
    }
  }

  #present(writes: readonly ItemWrite[], reasons: readonly CancellationReason[]): Promise<(Item | undefined)[]> {
    return Promise.all(
      writes.map(({ key }, index) => {
        const attributes = reasons[index]?.Item
        return attributes ? decodeItem(attributes) : this.get(key)
      }),
    )
  }
}

function tellConsumed(client: DynamoDBClient, tell: (action: string, units: number) => void): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const answer = await next({ ...args, input: { ...args.input, ReturnConsumedCapacity: 'TOTAL' } })
        const { ConsumedCapacity: consumed } = answer.output as {
          ConsumedCapacity?: ConsumedCapacity | ConsumedCapacity[]
        }
        const units = [consumed ?? []].flat().reduce((sum, each) => sum + (each.CapacityUnits ?? 0), 0)
        tell(commandName?.replace(/Command$/, '') ?? '', units)
        return answer
      },
    { step: 'initialize' },
  )
}

/** Of a missing item nothing is in the reason: the caller reads it, and finds what is there by then. */
function isRefusal(reason: CancellationReason): boolean {
  return reason.Code === 'ConditionalCheckFailed'
}

function conditionOf(condition: Condition) {
  return condition === 'absent'
    ? { ConditionExpression: 'attribute_not_exists(pk)' }
    : {
        ConditionExpression: 'version = :version',
        ExpressionAttributeValues: { ':version': { S: condition.version } },
      }
}
