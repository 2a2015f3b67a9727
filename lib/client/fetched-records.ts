/** Records out of what a fetch answered: record batches as bytes, or the JSON of the Kafka REST conventions. */
import type { LogRecord } from '../core/record-batch.ts'
import { type ClientCodecs, openBatch } from './compression.ts'

export type DecodedBatches =
  | { readonly ok: true; readonly records: LogRecord[] }
  /** `unsupported`: no codec for a batch here. `corrupt`: damaged, here or on the way. */
  | { readonly ok: false; readonly reason: 'unsupported' | 'corrupt'; readonly message: string }

/** The records from offset `from` on and before `nextOffset`, of batches that stand back to back. */
export async function decodeBatches(
  bytes: Uint8Array,
  from: number,
  nextOffset: number,
  codecs: ClientCodecs,
  decompressedBytesMax: number,
): Promise<DecodedBatches> {
  const records: LogRecord[] = []
  for (let at = 0; at < bytes.length; ) {
    const batch = await openBatch(bytes, at, codecs, decompressedBytesMax)
    if (!batch.ok) return batch
    at += batch.header.sizeBytes
    // Control records are the log's own; records before `from` came with the batch that holds it.
    if (batch.header.isControl) continue
    for (const record of batch.records) if (record.offset >= from && record.offset < nextOffset) records.push(record)
  }
  return { ok: true, records }
}

/** A record as the embedded format `binary` has it. */
export interface SaidRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers?: readonly { readonly key: string; readonly value: string | null }[]
}

export function recordOfJson(said: SaidRecord): LogRecord {
  return {
    offset: said.offset,
    timestampMs: said.timestamp,
    key: bytesOfBase64(said.key),
    value: bytesOfBase64(said.value),
    headers: (said.headers ?? []).map((header) => ({ key: header.key, value: bytesOfBase64(header.value) })),
  }
}

function bytesOfBase64(text: string | null): Uint8Array | null {
  return text === null ? null : Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0))
}
