/** Cuts a stream of bytes at a delimiter, holding no more of it than the present chunk and the line it ends in. */

/**
 * The pieces between delimiters, those of one chunk together. What follows the last delimiter is a piece if it is not empty.
 * A piece longer than `bytesMax` is refused: without a bound, an input without delimiters would be held whole.
 */
export async function* splitStream(
  chunks: AsyncIterable<Uint8Array | string>,
  delimiter: Uint8Array,
  bytesMax: number,
): AsyncGenerator<Uint8Array[], void, undefined> {
  if (delimiter.length === 0) throw new RangeError('a delimiter has at least one byte')
  const mark = Buffer.from(delimiter)
  let rest: Buffer = Buffer.alloc(0)
  /** No delimiter begins before this position of the rest. */
  let searched = 0
  for await (const chunk of chunks) {
    const bytes =
      typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    const pieces: Uint8Array[] = []
    let from = 0
    for (let at = rest.indexOf(mark, searched); at >= 0; at = rest.indexOf(mark, from)) {
      pieces.push(rest.subarray(from, at))
      from = at + mark.length
    }
    rest = rest.subarray(from)
    searched = Math.max(0, rest.length - mark.length + 1)
    if (rest.length > bytesMax) throw new LineTooLong(bytesMax)
    if (pieces.length > 0) yield pieces
  }
  if (rest.length > 0) yield [rest]
}

export class LineTooLong extends Error {
  constructor(bytesMax: number) {
    super(`More than ${bytesMax} bytes without a delimiter; is -D right?`)
    this.name = 'LineTooLong'
  }
}
