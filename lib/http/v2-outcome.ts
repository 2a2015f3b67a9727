/**
 * What became of the records of one request, for the faces that answer record by record.
 *
 * A record's own fault stays in its own answer, and the status says that the request was served. When no record was
 * written and all for one reason that is not theirs (the store is away, the producer is fenced, the offset is not the
 * expected one), the status says so: a client that only looks at it must not take lost records for written ones.
 */
import type { ErrorCode, Refusal } from '../core/errors.ts'
import type { Produced } from '../log/log.ts'

const recordFaults: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNKNOWN_PARTITION',
  'MESSAGE_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
])

/** The one reason why nothing of the request was written, if it is not the records' own. */
export function commonRefusal(records: readonly Produced[]): Refusal | undefined {
  const [first] = records
  if (first === undefined || first.ok || recordFaults.has(first.code)) return undefined
  for (const record of records) if (record.ok || record.code !== first.code) return undefined
  return first
}

/** Was everything that was asked for written before, by the first of these requests? */
export function isRepeat(records: readonly Produced[]): boolean {
  if (records.length === 0) return false
  for (const record of records) if (!record.ok || !record.isDuplicate) return false
  return true
}
