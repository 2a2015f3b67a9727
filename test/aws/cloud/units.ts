/**
 * Capacity units of requests, reckoned by DynamoDB's rules (lib/core/cost.ts) from the items in requests and answers: for a local AWS whose
 * own count is not to be relied on. What an item was before it was overwritten or deleted is known if its last write passed by here.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { attributesBytes } from '../../../lib/adapters/aws/dynamodb-size.ts'
import { readUnitsOf, writeUnitsOf } from '../../../lib/core/cost.ts'

/** As it is on the wire: bytes in base64. */
type WireValue = { readonly [Type in 'S' | 'N' | 'B']?: string } & {
  readonly M?: WireItem
  readonly L?: readonly WireValue[]
}
type WireItem = Readonly<Record<string, WireValue>>

interface WireRequest {
  readonly Key?: WireItem
  readonly Item?: WireItem
  readonly ConsistentRead?: boolean
  readonly TransactItems?: readonly Readonly<Record<string, WireRequest>>[]
}

interface WireAnswer {
  readonly Item?: WireItem
  readonly Items?: readonly WireItem[]
  readonly Attributes?: WireItem
  readonly CancellationReasons?: readonly { readonly Item?: WireItem }[]
}

export class UnitReckoner {
  readonly #bytes = new Map<string, number>()

  /** Of a request that was answered, or refused by its condition. */
  unitsOf(operation: string, request: WireRequest, answer: WireAnswer, isApplied: boolean): number {
    switch (operation) {
      case 'GetItem':
        return this.#readUnits(request, [answer.Item ?? {}])
      case 'Query':
        return this.#readUnits(request, answer.Items ?? [])
      case 'TransactWriteItems':
        return (request.TransactItems ?? []).reduce((sum, one, index) => {
          const [[kind = '', write] = []] = Object.entries(one)
          const seen = answer.CancellationReasons?.[index]?.Item
          return sum + (write === undefined ? 0 : this.#writeUnits(`${kind}Item`, write, seen, isApplied, true))
        }, 0)
      default:
        return this.#writeUnits(operation, request, answer.Attributes ?? answer.Item, isApplied, false)
    }
  }

  #readUnits({ ConsistentRead = false }: WireRequest, items: readonly WireItem[]): number {
    const units = readUnitsOf(items.reduce((sum, item) => sum + bytesOf(item), 0))
    return ConsistentRead ? units : units / 2
  }

  /** @param seen the item as an update left it, or as it was when the condition refused */
  #writeUnits(
    operation: string,
    { Key, Item }: WireRequest,
    seen: WireItem | undefined,
    isApplied: boolean,
    isInTransaction: boolean,
  ): number {
    const { pk, sk } = Key ?? Item ?? {}
    const name = `${pk?.S} ${sk?.S}`
    const before = this.#bytes.get(name) ?? 0
    const after = bytesOf(Item ?? seen ?? {})
    if (isApplied && operation === 'DeleteItem') this.#bytes.delete(name)
    else if (isApplied && operation !== 'ConditionCheckItem') this.#bytes.set(name, after)
    return writeUnitsOf(Math.max(before, after, bytesOf(seen ?? {})), isInTransaction)
  }
}

function bytesOf(item: WireItem): number {
  return attributesBytes(Object.fromEntries(Object.entries(item).map(([name, value]) => [name, decoded(value)])))
}

function decoded({ B, M, L, ...rest }: WireValue): AttributeValue {
  if (B !== undefined) return { B: Buffer.from(B, 'base64') }
  if (M !== undefined)
    return { M: Object.fromEntries(Object.entries(M).map(([name, value]) => [name, decoded(value)])) }
  if (L !== undefined) return { L: L.map(decoded) }
  return rest as AttributeValue
}
