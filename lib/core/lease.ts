/**
 * The leader lease of a partition, kept in its head (D5: a lease makes things fast, a condition makes them right).
 *
 *            acquire (nobody, or expired: epoch + 1)
 *     none ───────────────────────────────────────────▶ held ──renew (same owner and epoch)──▶ held
 *       ▲                                                │ release
 *       └────────────────────────────────────────────────┘ (epoch stays, so that the next holder's is larger)
 *
 * L1 every change of owner raises the epoch; an epoch is never used by two owners.
 * L2 a write made as the leader carries its epoch and is refused when the head's is another: no clock is asked.
 * L3 while a lease is exclusive, an append without its epoch is refused; taking the lease over ends that.
 * L4 whether a lease is exclusive is said when it is taken and stays so in its epoch: a renewal that arrives late changes
 *    nothing, and who saw an epoch without an exclusive leader will see none in it.
 */
import type { EpochMs } from './names.ts'

export interface Lease {
  readonly owner: string
  readonly epoch: number
  readonly untilMs: EpochMs
  /** True while only the holder appends. */
  readonly isExclusive: boolean
}

export interface LeaseClaim {
  readonly owner: string
  /** The lease this claim saw (its epoch; 0 for a partition that never had one). It is refused if another came between. */
  readonly seenEpoch: number
  readonly untilMs: EpochMs
  readonly isExclusive: boolean
}

/** Has the lease run out at `nowMs`? It is held up to and without `untilMs`. Only ever asked to decide whether to try. */
export function isLeaseExpired(lease: Lease | undefined, nowMs: EpochMs): boolean {
  return lease === undefined || nowMs >= lease.untilMs
}
