/** A run's batches anew (lib/core/batch-rewrite.ts), some at a time: compression is synchronous, and whoever shares the process wants a turn. */
import type { Rewrite } from '../core/batch-rewrite.ts'
import { recordsBytesTargetMax, rewriteBatches } from '../core/batch-rewrite.ts'
import type { EffectiveConfig } from '../core/topic.ts'
import type { Context } from './context.ts'

/** Stored bytes that are rewritten in one turn of the event loop: some ten milliseconds. Batches are coalesced within a turn only. */
const bytesPerTurn = 1_048_576

export interface RewrittenRun {
  readonly batches: readonly Uint8Array[]
  readonly removed: number
}

/**
 * `batches`: buffers of whole batches with absolute base offsets, ascending. The list is emptied on the way, so that what was rewritten
 * need not be held twice.
 */
export async function rewriteRun(
  context: Context,
  config: EffectiveConfig,
  batches: Uint8Array[],
  keep?: Rewrite['keep'],
): Promise<RewrittenRun> {
  const { mergeCompression: compression } = config
  if (compression === 'none' && keep === undefined) return { batches, removed: 0 }
  const rewrite: Rewrite = {
    compression,
    compressionLevel: config.compressionLevels[compression],
    decompressedBytesMax: context.settings.decompressedBytesMax,
    // Who takes no larger batch in takes none out of the store either.
    recordsBytesTarget: Math.min(recordsBytesTargetMax, config.messageBytesMax),
    ...(keep === undefined ? {} : { keep }),
  }
  const rewritten: Uint8Array[] = []
  let removed = 0
  while (batches.length > 0) {
    const turn = rewriteBatches(takeBytes(batches, bytesPerTurn), rewrite, context.codecs)
    rewritten.push(...turn.batches)
    removed += turn.removed
    await context.clock.sleep(0)
  }
  return { batches: rewritten, removed }
}

/** From the front of a list, at least one and as many as `bytes` hold. */
function takeBytes(batches: Uint8Array[], bytes: number): Uint8Array[] {
  let count = 0
  for (let left = bytes; count < batches.length; count++) {
    left -= batches[count]?.byteLength ?? 0
    if (left < 0 && count > 0) break
  }
  return batches.splice(0, count)
}
