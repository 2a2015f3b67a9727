/**
 * Which partition a record goes to, decided by the producer exactly as Kafka's own clients decide it: records with a
 * key by its hash (so that a key stays where other clients put it), records without one wherever batches grow best.
 */

/** Kafka's murmur2 of a key: a signed 32-bit number. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  const m = 0x5bd1e995
  let hash = 0x9747b28c ^ length
  const tail = length & ~3
  for (let i = 0; i < tail; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    hash = Math.imul(hash, m) ^ Math.imul(k, m)
  }
  const rest = length - tail
  if (rest >= 3) hash ^= bytes[tail + 2]! << 16
  if (rest >= 2) hash ^= bytes[tail + 1]! << 8
  if (rest >= 1) hash = Math.imul(hash ^ bytes[tail]!, m)
  hash ^= hash >>> 13
  hash = Math.imul(hash, m)
  return hash ^ (hash >>> 15)
}

/** The partition of a key: the hash without its sign bit, modulo the number of partitions (at least 1). */
export function partitionForKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

/** Where records without a key go at present, and how many bytes went there. */
export interface StickyState {
  readonly partition: number
  readonly appendedBytes: number
}

/**
 * The sticky partitioner for records without a key (KIP-480, KIP-794): it stays on one partition until about
 * `stickyBytes` were appended, so that batches fill, then moves to another. The record goes to `partition` of the
 * state that is answered; hand that state to the next call. `random` answers a number in [0, 1) and is asked only
 * when the partition changes.
 *
 * @example
 * let state: StickyState | undefined
 * state = stickyNext(state, recordBytes, partitions, { stickyBytes: 16_384, random })
 * send(record, state.partition)
 */
export function stickyNext(
  state: StickyState | undefined,
  recordBytes: number,
  partitions: number,
  options: { stickyBytes: number; random: () => number },
): StickyState {
  const current = state !== undefined && state.partition < partitions ? state : undefined
  if (current !== undefined && current.appendedBytes < options.stickyBytes) {
    return { partition: current.partition, appendedBytes: current.appendedBytes + recordBytes }
  }
  // A move goes to any of the others, so it always changes the partition when there is another one.
  if (current === undefined || partitions === 1) {
    return { partition: Math.floor(options.random() * partitions), appendedBytes: recordBytes }
  }
  const drawn = Math.floor(options.random() * (partitions - 1))
  return { partition: drawn < current.partition ? drawn : drawn + 1, appendedBytes: recordBytes }
}

/** The partition that the last record without a key went to. */
export interface RoundRobinState {
  readonly partition: number
}

/** The round-robin partitioner: each record without a key goes one partition further. Starts at 0. */
export function roundRobinNext(state: RoundRobinState | undefined, partitions: number): RoundRobinState {
  return { partition: state === undefined ? 0 : (state.partition + 1) % partitions }
}
