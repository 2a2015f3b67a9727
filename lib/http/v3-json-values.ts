/**
 * Concatenated JSON: values that follow each other with or without blanks between them, which is how v3 sends several
 * records in one request.
 */
import { type Refusal, refusal } from '../core/errors.ts'
import { hasDelicateNumber, notJson, type Parsed, parseJsonText, parseText } from './v2-embedded.ts'

/**
 * The values of a body, in order. One value costs one JSON.parse and nothing more.
 *
 * Refuses with EMPTY_PAYLOAD where there is none, INVALID_REQUEST where the body is not JSON from its first byte to its last
 * (so a request that was cut off is refused whole), REQUEST_TOO_LARGE where there are more than `valuesMax`.
 */
export function parseJsonValues(bytes: Uint8Array, valuesMax: number): Parsed<unknown[]> {
  const read = parseText(bytes)
  if (!read.ok) return read
  const text = read.value
  const isDelicate = hasDelicateNumber(bytes, text)
  try {
    return { ok: true, value: [parseJsonText(text, isDelicate)] }
  } catch {
    // Several values, or damage: the walk below tells.
  }
  const values: unknown[] = []
  let at = afterBlanks(text, 0)
  while (at < text.length) {
    if (values.length === valuesMax)
      return refusal('REQUEST_TOO_LARGE', `The request has more than ${valuesMax} records.`)
    const end = endOfValue(text, at)
    if (end === undefined) return damaged(values.length, at, 'it does not end')
    try {
      values.push(parseJsonText(text.slice(at, end), isDelicate))
    } catch (error) {
      return values.length === 0 ? notJson(error) : damaged(values.length, at, error)
    }
    at = afterBlanks(text, end)
  }
  return { ok: true, value: values }
}

function damaged(index: number, at: number, why: unknown): Refusal {
  const reason = why instanceof Error ? why.message : String(why)
  return refusal('INVALID_REQUEST', `The body is not JSON: record ${index}, at position ${at}: ${reason}`)
}

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

function afterBlanks(text: string, from: number): number {
  let at = from
  while (isBlank(text.charCodeAt(at))) at++
  return at
}

/** JSON's own blanks: space, tab, line feed, carriage return. */
function isBlank(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
}

/**
 * Where the value ends that begins at `from`, if it is one; undefined where the text ends before. Looks at brackets and
 * strings only: whether the value is JSON is for JSON.parse to say.
 */
function endOfValue(text: string, from: number): number | undefined {
  const first = text.charCodeAt(from)
  if (first !== openBrace && first !== openBracket) return endOfScalar(text, from)
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) {
      const end = endOfString(text, at)
      if (end === undefined) return undefined
      at = end - 1
    } else if (unit === openBrace || unit === openBracket) depth++
    else if ((unit === closeBrace || unit === closeBracket) && --depth === 0) return at + 1
  }
  return undefined
}

function endOfString(text: string, from: number): number | undefined {
  let at = text.indexOf('"', from + 1)
  while (at >= 0) {
    let escapes = 0
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++
    if (escapes % 2 === 0) return at + 1
    at = text.indexOf('"', at + 1)
  }
  return undefined
}

function endOfScalar(text: string, from: number): number | undefined {
  if (text.charCodeAt(from) === quote) return endOfString(text, from)
  let at = from + 1
  while (at < text.length) {
    const unit = text.charCodeAt(at)
    if (isBlank(unit) || unit === quote || unit === openBrace || unit === openBracket) break
    at++
  }
  return at
}
