/** Batches for the tests of the record batch: what clients wrote, what a client might forge. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { nodeCodecs as codecs } from '../../lib/adapters/codecs-node.ts'
import { crc32c } from '../../lib/core/crc32c.ts'
import {
  type BatchFault,
  type BatchHeader,
  checkBatch,
  decodeBatch,
  encodeBatch,
  type NewBatch,
  type NewRecord,
  readBatchHeader,
} from '../../lib/core/record-batch.ts'

export const mebibyte = 2 ** 20
export const limits = { batchBytesMax: mebibyte, decompressedBytesMax: 16 * mebibyte }
export const t0 = 1_700_000_000_000

export const text = (value: string) => new TextEncoder().encode(value)

/** What every client wrote into the golden batches: null and empty keys and values, headers, a timestamp that goes back. */
export const goldenRecords: NewRecord[] = [
  { timestampMs: t0, key: text('k0'), value: text('v0'), headers: [] },
  {
    timestampMs: t0 - 5000,
    key: null,
    value: text('hello '.repeat(40)),
    headers: [
      { key: 'h', value: text('x') },
      { key: 'null', value: null },
      { key: 'ключ', value: Uint8Array.from([0, 0xff]) },
    ],
  },
  { timestampMs: t0 + 70_000, key: text(''), value: null, headers: [] },
  {
    timestampMs: t0 + 1,
    key: text('k0'),
    value: text('hello '.repeat(40)),
    headers: [{ key: 'h', value: text('y') }],
  },
]

/** test/core/golden/batch-<name>.hex: bytes in hex below comments that say who wrote them. Never regenerated. */
export function golden(name: string): Uint8Array {
  const file = readFileSync(new URL(`golden/batch-${name}.hex`, import.meta.url), 'utf8')
  const hex = file.replace(/^#.*$/gm, '').replace(/\s/g, '')
  return Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16))
}

export function decoded(bytes: Uint8Array, at = 0) {
  const result = decodeBatch(bytes, at, codecs, 16 * mebibyte)
  assert.ok(result.ok, result.ok ? '' : `${result.code}: ${result.message}`)
  return result
}

export function headerOf(bytes: Uint8Array, at = 0): BatchHeader {
  const result = readBatchHeader(bytes, at)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return result.header
}

/** A batch with some of its bytes replaced, its CRC right again: what a client does that is wrong, not damaged. */
export function forged(bytes: Uint8Array, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const view = new DataView(copy.buffer)
  change(view, copy)
  view.setUint32(17, crc32c(copy.subarray(21)))
  return copy
}

export function encode(batch: Partial<NewBatch> = {}): Uint8Array {
  return encodeBatch({ records: goldenRecords, compression: 'none', ...batch }, codecs)
}

export function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

export const codeOf = (result: { ok: true } | BatchFault) => (result.ok ? 'ok' : result.code)
export const check = (bytes: Uint8Array, options = {}) => checkBatch(bytes, 0, codecs, { ...limits, ...options })
