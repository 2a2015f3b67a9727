/** Content negotiation: which of the media types that can be served a client would rather have (RFC 9110, 12.5.1). */

/**
 * The one with the highest quality; between equals, the one the client names more precisely, then the first of `offered`.
 * undefined: the client accepts none. No header, or an empty one, accepts everything.
 */
export function negotiate<Type extends string>(accept: string | null, offered: readonly Type[]): Type | undefined {
  if (accept === null || accept.trim() === '') return offered[0]
  const ranges = accept.split(',').map(parseRange)
  let best: Type | undefined
  let bestRank = 0
  for (const type of offered) {
    // The most precise range that names a type decides its quality.
    let precision = -1
    let quality = 0
    for (const range of ranges) {
      const precise = precisionOf(range.type, type)
      if (precise > precision) {
        precision = precise
        quality = range.quality
      }
    }
    const rank = quality === 0 ? 0 : quality * 4 + precision
    if (rank > bestRank) {
      best = type
      bestRank = rank
    }
  }
  return best
}

function parseRange(text: string): { type: string; quality: number } {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const given = parameters.find((parameter) => parameter.startsWith('q='))
  const quality = given === undefined ? 1 : Number(given.slice(2))
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

/** 2: the very type, 1: `application/*`, 0: everything, -1: another. */
function precisionOf(range: string, type: string): number {
  if (range === type) return 2
  if (range === '*/*' || range === '*') return 0
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1)) ? 1 : -1
}
