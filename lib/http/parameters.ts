/** Numbers and choices out of paths, queries and headers: a value, or the refusal that names what was expected. */
import { type Refusal, refusal } from '../core/errors.ts'
import type { RouteContext } from './route.ts'

/** A whole decimal number within the bounds, or undefined. No signs but a leading `-`, no exponents, no blanks. */
export function parseInteger(text: string, min: number, max: number): number | undefined {
  if (!/^-?[0-9]{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined
}

export type Parsed<Value> = { readonly ok: true; readonly value: Value } | Refusal

/** A query parameter as a whole number; undefined where it is absent. INVALID_REQUEST where it is anything else. */
export function queryInteger(
  query: URLSearchParams,
  name: string,
  min = 0,
  max: number = Number.MAX_SAFE_INTEGER,
): Parsed<number | undefined> {
  const text = query.get(name)
  if (text === null) return { ok: true, value: undefined }
  const value = parseInteger(text, min, max)
  if (value !== undefined) return { ok: true, value }
  return refusal('INVALID_REQUEST', `${name} must be ${wholeNumber(min, max)}, not ${JSON.stringify(text)}.`)
}

/** The `{partition}` of the path. What is no number is no partition's path: NOT_FOUND, as the REST Proxy has it. */
export function pathPartition(context: RouteContext): Parsed<number> {
  const text = context.params.partition ?? ''
  const value = parseInteger(text, 0, Number.MAX_SAFE_INTEGER)
  if (value !== undefined) return { ok: true, value }
  return refusal('NOT_FOUND', `${JSON.stringify(text)} is not a partition number.`)
}

export function wholeNumber(min: number, max: number): string {
  return max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`
}
