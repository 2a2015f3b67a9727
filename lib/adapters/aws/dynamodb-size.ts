/**
 * The size of an item as DynamoDB counts it, which is what it bills by: names and values in UTF-8 bytes; a number a byte for every two
 * significant digits and one more; a list or map 3 bytes, and one for each element beside its own size. (Amazon DynamoDB
 * developer guide, "DynamoDB item sizes and formats".) The 100 bytes that storage adds to each item are not in it.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { Attributes } from './dynamodb-attributes.ts'

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
