/** What is sent: batches of records, and the same as JSON. Random values, since equal ones would flatter whoever compresses. */
import { randomBytes } from 'node:crypto'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { encodeBatch } from '../../lib/core/record-batch.ts'
import type { Body } from './load.ts'

export function makeBody({ kind, records, valueBytes }: Body): Uint8Array {
  switch (kind) {
    case 'batches':
    case 'small':
      return makeBatch(records, valueBytes)
    case 'json':
      return Buffer.from(JSON.stringify({ records: jsonRecords(records, valueBytes) }))
    default:
      return kind satisfies never
  }
}

/** One batch, not compressed, with keys of 8 bytes. */
export function makeBatch(records: number, valueBytes: number): Uint8Array {
  const nowMs = Date.now()
  return encodeBatch(
    {
      compression: 'none',
      records: Array.from({ length: records }, (_, index) => ({
        timestampMs: nowMs + (index >> 4),
        key: Buffer.from(`key-${String(index % 1_000).padStart(4, '0')}`),
        value: randomBytes(valueBytes),
      })),
    },
    nativeCodecs,
  )
}

/** Records of about `valueBytes` as an application sends them: a key, and an object of texts and numbers. */
function jsonRecords(count: number, valueBytes: number): object[] {
  return Array.from({ length: count }, (_, index) => ({
    key: `key-${String(index % 1_000).padStart(4, '0')}`,
    value: {
      origin: 'SFO',
      destination: 'LAX',
      delay: (index % 90) - 15,
      distance: 337,
      date: 1_700_000_000_000 + index,
      note: randomBytes(valueBytes)
        .toString('hex')
        .slice(0, Math.max(0, valueBytes - 80)),
    },
  }))
}
