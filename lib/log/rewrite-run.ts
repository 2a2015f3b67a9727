/**
 * Batches anew (lib/core/batch-rewrite.ts): those of a run, some at a time, since compression is synchronous and whoever shares the process
 * wants a turn; and those of a small chunk on its way to the store.
 */
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
  if (config.mergeCompression === 'none' && keep === undefined) return { batches, removed: 0 }
  const rewrite = { ...rewriteOf(context, config), ...(keep === undefined ? {} : { keep }) }
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

/** A chunk's batches as a merge would make them; undefined where it would leave them. Relative base offsets stay. */
export function rewriteChunk(
  context: Context,
  config: EffectiveConfig,
  batches: readonly Uint8Array[],
): readonly Uint8Array[] | undefined {
  if (config.mergeCompression === 'none') return undefined
  const rewritten = rewriteBatches(batches, rewriteOf(context, config), context.codecs)
  return rewritten.isChanged ? rewritten.batches : undefined
}

/** Of a chunk's beginning, compressed to see whether it can be. */
const sampleBytesMax = 65_536
const compressedShareMax = 0.9

/** Whether the topic wants it compressed, and its beginning tells that it is worth the work. */
export function isCompressible(context: Context, config: EffectiveConfig, [first]: readonly Uint8Array[]): boolean {
  const { mergeCompression } = config
  if (mergeCompression === 'none' || first === undefined) return false
  const sample = first.subarray(0, sampleBytesMax)
  const compressed = context.codecs.compress(mergeCompression, sample, config.compressionLevels[mergeCompression])
  return compressed.byteLength < compressedShareMax * sample.byteLength
}

function rewriteOf(
  { settings }: Context,
  { mergeCompression, compressionLevels, messageBytesMax }: EffectiveConfig,
): Rewrite {
  return {
    compression: mergeCompression,
    compressionLevel: compressionLevels[mergeCompression],
    decompressedBytesMax: settings.decompressedBytesMax,
    // Who takes no larger batch in takes none out of the store either.
    recordsBytesTarget: Math.min(recordsBytesTargetMax, messageBytesMax),
  }
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
