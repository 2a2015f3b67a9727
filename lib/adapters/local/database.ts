/**
 * The metadata in one SQLite file: its schema, how it is opened for writing and for reading, and one commit.
 *
 *     heads (topic_id, partition) -> value       the head as JSON
 *     items (collection, sort) -> version, value the item's value as JSON
 *                              -> bytes          what the item holds beside it; NULL where there is none
 *
 * Nothing is decided here: rows arrive decided (metadata.ts). Keys compare as bytes of UTF-8, SQLite's BINARY order.
 *
 * What durability rests on: in WAL mode with synchronous=FULL, COMMIT returns after the log was synced, and a reader sees a
 * transaction only after that. The pragmas are read back, since SQLite answers a pragma that it cannot follow with silence.
 */
import { DatabaseSync } from 'node:sqlite'
import type { Unavailable } from '../../core/errors.ts'

/** Of the tables; `PRAGMA user_version`. */
export const schemaVersion = 2
/** `PRAGMA application_id`: marks the file as ours ("HwMd"). */
const applicationId = 0x48774d64

/** One decided change of one row. */
export type RowWrite =
  | { readonly row: 'head'; readonly topicId: string; readonly partition: number; readonly value: string }
  | {
      readonly row: 'item'
      readonly collection: string
      readonly sort: string
      readonly version: string
      readonly value: string
      readonly bytes: Uint8Array | undefined
    }
  | { readonly row: 'no-item'; readonly collection: string; readonly sort: string }

/** The one connection that writes. Its calls block for as long as the disk takes. */
export interface WritableDatabase {
  /** All of the rows in one transaction, durable when it returns; throws what SQLite throws, and nothing is changed or that is unknown (`commitFailure`). */
  commit(writes: readonly RowWrite[]): void
  close(): void
}

const schema = `
  CREATE TABLE heads (
    topic_id TEXT NOT NULL, partition INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (topic_id, partition)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE items (
    collection TEXT NOT NULL, sort TEXT NOT NULL, version TEXT NOT NULL, value TEXT NOT NULL, bytes BLOB,
    PRIMARY KEY (collection, sort)
  ) STRICT, WITHOUT ROWID;
`

/**
 * Opens the file for writing, creating it and its tables where they are missing. Throws an `Error` of one sentence when the
 * file is another's or newer, or when the file system does not give what durability rests on.
 * `pagesMax` bounds the file, for tests of a full disk.
 */
export function openForWriting(path: string, pagesMax?: number): WritableDatabase {
  const database = new DatabaseSync(path, { timeout: 5_000 })
  try {
    prepare(database, path)
    if (pagesMax !== undefined) database.exec(`PRAGMA max_page_count = ${pagesMax}`)
    return writable(database)
  } catch (error) {
    database.close()
    throw error
  }
}

/** Opens the file, which a writer has prepared, for reading what was committed. */
export function openForReading(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
}

function prepare(database: DatabaseSync, path: string): void {
  const found = pragma(database, 'user_version')
  const isNew = found === 0 && pragma(database, 'schema_version') === 0
  if (!isNew && pragma(database, 'application_id') !== applicationId)
    throw new Error(`${path} is not a metadata file of Highwater.`)
  if (typeof found !== 'number' || found > schemaVersion)
    throw new Error(`${path} has schema version ${found}; this Highwater knows versions up to ${schemaVersion}.`)

  // fullfsync: on macOS a plain fsync leaves the bytes in the drive's own cache. Elsewhere it means nothing.
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA journal_size_limit = 67108864;
  `)
  const required = { journal_mode: 'wal', synchronous: 2, fullfsync: 1, checkpoint_fullfsync: 1 }
  for (const [name, value] of Object.entries(required)) {
    const inForce = pragma(database, name)
    if (inForce !== value)
      throw new Error(`${path} cannot be written durably: SQLite's ${name} is ${inForce} there, and must be ${value}.`)
  }
  if (!isNew && found < 2)
    database.exec(`
      BEGIN IMMEDIATE;
      ALTER TABLE items ADD COLUMN bytes BLOB;
      PRAGMA user_version = 2;
      COMMIT;
    `)
  if (isNew)
    database.exec(`
      BEGIN IMMEDIATE;
      ${schema}
      PRAGMA application_id = ${applicationId};
      PRAGMA user_version = ${schemaVersion};
      COMMIT;
    `)
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
}

function writable(database: DatabaseSync): WritableDatabase {
  const begin = database.prepare('BEGIN IMMEDIATE')
  const commit = database.prepare('COMMIT')
  const putHead = database.prepare('INSERT OR REPLACE INTO heads VALUES (?, ?, ?)')
  const putItem = database.prepare('INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)')
  const deleteItem = database.prepare('DELETE FROM items WHERE collection = ? AND sort = ?')
  return {
    commit(writes) {
      begin.run()
      try {
        for (const write of writes)
          switch (write.row) {
            case 'head':
              putHead.run(write.topicId, write.partition, write.value)
              break
            case 'item':
              putItem.run(write.collection, write.sort, write.version, write.value, write.bytes ?? null)
              break
            case 'no-item':
              deleteItem.run(write.collection, write.sort)
              break
            default:
              write satisfies never
          }
        commit.run()
      } catch (error) {
        // SQLite has rolled back by itself after some errors; then there is nothing left to undo.
        if (database.isTransaction) database.exec('ROLLBACK')
        throw error
      }
    },
    close: () => database.close(),
  }
}

/** What became of a transaction that failed, in words that cross a thread. */
export interface CommitFailure {
  readonly effects: Unavailable['effects']
  readonly why: Unavailable['why']
  readonly message: string
  /** True when nobody can say any more what the disk holds: no further write may be tried on this connection. */
  readonly isFinal: boolean
}

const sqliteFull = 13

/**
 * A full disk refuses the frames of the transaction, the one that would commit it being the last: nothing happened, and it
 * may be tried again. Any other failure may have come after that frame, from the sync: what the disk holds is then unknown,
 * and a sync that is called again may answer well without having written what the first one lost.
 */
export function commitFailure(error: unknown): CommitFailure {
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined
  return code === sqliteFull
    ? { effects: 'none', why: 'full', message: `The disk of the metadata is full: ${message}.`, isFinal: false }
    : { effects: 'possible', why: 'failed', message: `The metadata could not be written: ${message}.`, isFinal: true }
}
