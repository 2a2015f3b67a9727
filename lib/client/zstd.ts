/**
 * Reading zstd, which is what merged topics hold by default: by the platform's stream where there is one, and otherwise by fzstd (MIT,
 * 8 KB of JavaScript: WebAssembly would have to be compiled before the first batch). Nothing here writes it.
 */
import { Decompress, decompress } from 'fzstd'
import { measureZstdFrame, narrowZstdWindow } from '../core/zstd-frame.ts'

/** What a platform's decoder may refuse to allocate (RFC 8878 asks for this much, and browsers give no more). */
const windowBytesMax = 8 * 2 ** 20

/** A decoder of the platform, if it has one. */
export function zstdStream(): DecompressionStream | undefined {
  try {
    return new DecompressionStream('zstd' as CompressionFormat)
  } catch {
    return undefined
  }
}

/** Throws where the bytes are damaged or expand beyond `bytesMax`; allocates no more than that, and once as much for its window. */
export function readZstd(
  bytes: Uint8Array,
  bytesMax: number,
  throughStream: (stream: DecompressionStream, bytes: Uint8Array, bytesMax: number) => Promise<Uint8Array>,
): Uint8Array | Promise<Uint8Array> {
  const frame = measureZstdFrame(bytes)
  if (typeof frame === 'string') throw new Error(frame)
  const { contentSize, bound, windowBytes } = frame
  if (contentSize !== null && contentSize > bytesMax) throw new Error(`${contentSize} bytes; ${bytesMax} are allowed`)
  const narrowed = narrowZstdWindow(bytes, frame)
  const stream = Math.min(windowBytes ?? bound, contentSize ?? bound) > windowBytesMax ? undefined : zstdStream()
  if (stream !== undefined) return throughStream(stream, narrowed, bytesMax)
  // It allocates what the frame says; a buffer of ours it would compare with a number, byte by byte.
  if (contentSize !== null) return decompress(narrowed)
  return inParts(narrowed, bytesMax)
}

/** Of a frame that does not say its size, as streaming writers make them (Kafka's own among them). */
function inParts(bytes: Uint8Array, bytesMax: number): Uint8Array {
  const parts: Uint8Array[] = []
  let length = 0
  const decoder = new Decompress((part) => {
    length += part.length
    if (length > bytesMax) throw new Error(`more than ${bytesMax} bytes`)
    parts.push(part)
  })
  decoder.push(bytes, true)
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
