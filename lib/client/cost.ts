/** What a server says of its cost, as it is sent, and as the client gives it. */
import type { CostReport, Priced } from '../core/cost-report.ts'
import type { Operation } from '../core/usage.ts'

export interface SaidCost {
  readonly scope: CostReport['scope']
  readonly since_ms: number
  readonly until_ms: number
  readonly window_ms: number
  readonly usd_per_hour: number
  readonly usd_per_month: number
  readonly storage_usd_per_month: number
  readonly used: readonly {
    readonly topic: string | null
    readonly operation: Operation
    readonly since_start: Priced
    readonly in_window: Priced
    readonly usd_per_month: number
  }[]
  readonly stored: readonly {
    readonly topic: string
    readonly object_bytes: number
    readonly inline_bytes: number
    readonly usd_per_month: number
  }[]
  readonly is_stored_whole: boolean
}

export function costOf(said: SaidCost): CostReport {
  return {
    scope: said.scope,
    sinceMs: said.since_ms,
    untilMs: said.until_ms,
    windowMs: said.window_ms,
    usdPerHour: said.usd_per_hour,
    usdPerMonth: said.usd_per_month,
    storageUsdPerMonth: said.storage_usd_per_month,
    used: said.used.map(({ topic, operation, since_start, in_window, usd_per_month }) => ({
      topic,
      operation,
      sinceStart: since_start,
      inWindow: in_window,
      usdPerMonth: usd_per_month,
    })),
    stored: said.stored.map(({ topic, object_bytes, inline_bytes, usd_per_month }) => ({
      topic,
      objectBytes: object_bytes,
      inlineBytes: inline_bytes,
      usdPerMonth: usd_per_month,
    })),
    isStoredWhole: said.is_stored_whole,
  }
}
