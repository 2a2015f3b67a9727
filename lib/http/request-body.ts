/**
 * Request bodies, bounded (D8): by Content-Length before anything is read, by counting while reading, and by the size after
 * decompression.
 */
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import { type Refusal, refusal } from '../core/errors.ts'
import type { Body, HttpRequest } from './route.ts'

/** Where a body's bytes come from. */
export interface BodySource {
  /**
   * All of the body. `too-large`: there are more than `bytesMax`, which nobody kept; `ended-early`: the client went away.
   * @param declaredBytes what Content-Length says, never more than `bytesMax`; undefined where it says nothing
   */
  read(bytesMax: number, declaredBytes: number | undefined): Promise<Uint8Array | 'too-large' | 'ended-early'>
}

export async function readRequestBody(request: HttpRequest, source: BodySource, bytesMax: number): Promise<Body> {
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  const decode = decoders.get(encoding)
  if (decode === undefined)
    return refusal(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding ${JSON.stringify(encoding)} is not supported; use ${[...decoders.keys()].join(', ')}.`,
    )
  const declared = request.headers.get('content-length')
  const declaredBytes = declared === null ? undefined : Number(declared)
  if (declaredBytes !== undefined && declaredBytes > bytesMax) return tooLarge(`${declaredBytes} bytes`, bytesMax)

  const bytes = await source.read(bytesMax, declaredBytes)
  if (bytes === 'too-large') return tooLarge(`more than ${bytesMax} bytes`, bytesMax)
  if (bytes === 'ended-early') return refusal('INVALID_REQUEST', 'The request ended before its body did.')
  if (decode === null || bytes.length === 0) return { ok: true, bytes }
  try {
    return { ok: true, bytes: plain(await decode(bytes, { maxOutputLength: bytesMax })) }
  } catch (error) {
    if (error instanceof RangeError) return tooLarge(`more than ${bytesMax} bytes after decoding ${encoding}`, bytesMax)
    return refusal('INVALID_REQUEST', `The body is not ${encoding}, which Content-Encoding says it is.`)
  }
}

type Decode = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array>

/** null: nothing to decode. */
const decoders: ReadonlyMap<string, Decode | null> = new Map<string, Decode | null>([
  ['identity', null],
  ['gzip', promisify(gunzip) as Decode],
  ['x-gzip', promisify(gunzip) as Decode],
  ['deflate', promisify(inflate) as Decode],
])

function tooLarge(what: string, bytesMax: number): Refusal {
  return refusal('REQUEST_TOO_LARGE', `The body has ${what}; at most ${bytesMax} are allowed.`)
}

/** Not a Buffer: views of one would be Buffers, and print as them. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export const emptySource: BodySource = { read: async () => new Uint8Array(0) }

/** The body of a web `Request`. */
export function streamSource(stream: ReadableStream<Uint8Array>): BodySource {
  return {
    async read(bytesMax) {
      const parts: Uint8Array[] = []
      let length = 0
      try {
        // Leaving the loop cancels the stream.
        for await (const part of stream) {
          length += part.byteLength
          if (length > bytesMax) return 'too-large'
          parts.push(part)
        }
      } catch {
        return 'ended-early'
      }
      return joinParts(parts, length)
    },
  }
}

/** One buffer of its own, also where there is one part only: that may be the transport's. */
export function joinParts(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}
