/**
 * The size of an item as DynamoDB counts it, which is what it bills by: names and values in UTF-8 bytes; a number a byte for every two
 * significant digits and one more; a list or map 3 bytes, and one for each element beside its own size. (Amazon DynamoDB
 * developer guide, "DynamoDB item sizes and formats".) The 100 bytes that storage adds to each item are not in it.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Head } from '../../core/head.ts'
import type { Item, ItemKey } from '../../core/items.ts'
import { type Attributes, encodeLease, newestBase, stateText } from './dynamodb-attributes.ts'

export function attributesBytes(attributes: Attributes): number {
  let bytes = 0
  for (const [name, value] of Object.entries(attributes)) bytes += textBytes(name) + valueBytes(value)
  return bytes
}

function valueBytes({ S, N, B, M, L }: AttributeValue): number {
  if (S !== undefined) return textBytes(S)
  if (N !== undefined) return numberBytes(N)
  if (B !== undefined) return B.byteLength
  if (M !== undefined) return 3 + attributesBytes(M) + Object.keys(M).length
  if (L !== undefined) return 3 + L.reduce((sum, value) => sum + 1 + valueBytes(value), 0)
  // BOOL and NULL; sets are not used.
  return 1
}

function numberBytes(text: string): number {
  const [mantissa = ''] = text.replace(/^-/, '').split(/e/i)
  const digits = mantissa.replace('.', '').replace(/^0+/, '').replace(/0+$/, '').length
  return Math.ceil(digits / 2) + 1 + (text.startsWith('-') ? 1 : 0)
}

const encoder = new TextEncoder()

function textBytes(text: string): number {
  // Nearly all is ASCII; only what is not has to be encoded.
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return encoder.encode(text).byteLength
  return text.length
}

/** `attributesBytes(encodeHead(head))`, without making the attributes: a meter asks it of every head that it sees. */
export function headBytes(head: Head): number {
  const { topicId, partition, tail, producers, lease, minSegment, cleanedTo } = head
  // pk "heads/<topic id>/<partition>", sk "head", and the names and brackets of what every head has.
  let bytes = headNamesBytes + topicId.length + String(partition).length
  for (const name of headNumbers) bytes += integerBytes(head[name])
  for (const ref in tail) bytes += ref.length + 1 + integerBytes(tail[ref as keyof typeof tail] ?? 0)
  for (const key in producers) {
    const state = producers[key as keyof typeof producers]
    if (state !== undefined)
      bytes += 2 * (textBytes(key) + 1) + stateText(state).length + integerBytes(newestBase(state))
  }
  if (lease !== undefined) bytes += attributesBytes({ lease: encodeLease(lease) })
  if (cleanedTo !== undefined) bytes += 'cleanedTo'.length + integerBytes(cleanedTo)
  return bytes + minSegment.length
}

const headNumbers = ['hw', 'start', 'rolls', 'boundary', 'producerFloor', 'leaseEpoch'] as const
/** Of names, fixed texts, three maps and a flag. */
const headNamesBytes =
  'pkheads//skhead'.length +
  headNumbers.join('').length +
  'tailproducersbases'.length +
  3 * 3 +
  'minSegmentisDeleted'.length +
  1

/** The same of an item. */
export function itemBytes({ key, version, value, bytes }: Omit<Item, 'key'> & { readonly key: ItemKey }): number {
  const texts = textBytes(key.collection) + textBytes(key.sort) + textBytes(version) + textBytes(JSON.stringify(value))
  return 'pkskversionvalue'.length + texts + (bytes === undefined ? 0 : 'bytes'.length + bytes.byteLength)
}

function integerBytes(value: number): number {
  if (!Number.isSafeInteger(value)) return numberBytes(String(value))
  if (value === 0) return 1
  let rest = Math.abs(value)
  while (rest % 10 === 0) rest /= 10
  let digits = 0
  for (; rest >= 1; rest = Math.floor(rest / 10)) digits++
  return Math.ceil(digits / 2) + 1 + (value < 0 ? 1 : 0)
}
