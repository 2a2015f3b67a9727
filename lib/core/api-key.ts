/**
 * API keys: who calls, and what they may have done. A key as its holder knows it is `<id>.<secret>`; stored is the id, a hash
 * of the secret, and what the key allows.
 *
 *     Authorization: Bearer <id>.<secret>
 *     Authorization: Basic base64(<id>:<secret>)      the same, for clients that know users and passwords only
 *
 * A1  Nothing is allowed to a key that was not found, or that is revoked, expired or wrong; whatever else is not understood is
 *     refused like these.
 * A2  A key that was revoked never works again: its item stays, so that a late repeat of its creation finds it (D4, D6).
 *
 * The secret is 256 random bits that we draw, never a word that somebody chose: whoever holds the hash cannot try them all,
 * whatever a try costs. Therefore SHA-256 and no slow hash, which would only cost the one who checks.
 */
import { type Refusal, refusal } from './errors.ts'
import type { EpochMs } from './names.ts'

/** What a route does, which is what keys allow and functions are split by. */
export const works = ['produce', 'fetch', 'consume', 'admin'] as const
export type Work = (typeof works)[number]

/** What a request asks of its caller: `anybody` nothing, `any-key` a key that is valid, otherwise a key that allows this work. */
export type Need = Work | 'any-key' | 'anybody'

export interface ApiKey {
  readonly id: string
  /** For people. Not unique. */
  readonly name: string
  readonly allow: readonly Work[]
  readonly createdMs: EpochMs
  /** From then on it is refused. Absent: never. */
  readonly expiresMs?: EpochMs
}

/** The value of an item of the collection `api-keys`, sorted by the key's id. */
export interface ApiKeyItem extends Omit<ApiKey, 'id'> {
  /** SHA-256 of the secret's text, in hex. */
  readonly secretHash: string
  /** Since when it is refused. */
  readonly revokedMs?: EpochMs
}

/** What a caller showed. */
export interface Credentials {
  readonly keyId: string
  readonly secret: string
}

/** Keys that can be used at the same time; more are refused. */
export const apiKeysMax = 1_000
export const apiKeyNameLengthMax = 100
/** Of an Authorization header that is looked at. A key takes about 70 characters, 100 as Basic. */
export const authorizationLengthMax = 512

const keyIdDigits = 16
const keyIdPattern = /^[a-zA-Z0-9_-]{1,64}$/
/** 32 bytes in base64url. */
const secretPattern = /^[A-Za-z0-9_-]{43}$/
const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** A fresh id: `hw` and 16 digits of base 36, so that a key is known for one where it was left lying. */
export function newKeyId(random: () => number): string {
  let digits = ''
  while (digits.length < keyIdDigits) digits += Math.floor(random() * 36).toString(36)
  return `hw${digits}`
}

/** A fresh secret. @param random its values must not be predictable: the dice of the operating system */
export function newSecret(random: () => number): string {
  let text = ''
  while (text.length < 42) text += base64url[Math.floor(random() * 64)]
  // The last of 43 characters holds the last 4 bits of 32 bytes.
  return text + base64url[Math.floor(random() * 16) * 4]
}

export function isKeyId(text: string): boolean {
  return keyIdPattern.test(text)
}

export function formatKey({ keyId, secret }: Credentials): string {
  return `${keyId}.${secret}`
}

/** `<id>.<secret>`; undefined for anything else. */
export function parseKey(text: string): Credentials | undefined {
  return text.length > authorizationLengthMax ? undefined : credentialsOf(text, '.')
}

/** What an Authorization header shows; undefined for any that is not a key in one of the two forms. */
export function parseAuthorization(header: string | null | undefined): Credentials | undefined {
  if (header === null || header === undefined || header.length > authorizationLengthMax) return undefined
  const [, scheme, text] = /^(bearer|basic) +([A-Za-z0-9._+/-]+={0,2})$/i.exec(header) ?? []
  if (scheme === undefined || text === undefined) return undefined
  if (scheme.toLowerCase() === 'bearer') return credentialsOf(text, '.')
  try {
    return credentialsOf(atob(text), ':')
  } catch {
    return undefined
  }
}

function credentialsOf(text: string, separator: string): Credentials | undefined {
  const at = text.indexOf(separator)
  const keyId = text.slice(0, Math.max(0, at))
  const secret = text.slice(at + 1)
  return keyIdPattern.test(keyId) && secretPattern.test(secret) ? { keyId, secret } : undefined
}

/** Takes as long for texts that differ early as for those that differ late, or not at all. */
export function isSameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at)
  return difference === 0
}

export type KeyVerdict = { readonly ok: true; readonly key: ApiKey } | Refusal

/**
 * May the caller have this done (A1)? Whether there is such a key, and whether it only expired, is told to nobody who does not
 * know its secret.
 * @param item what is stored under the id that was shown @param isSecretRight does its hash belong to the secret that was shown?
 */
export function judgeKey(
  keyId: string,
  item: ApiKeyItem | undefined,
  isSecretRight: boolean,
  need: Need,
  nowMs: EpochMs,
): KeyVerdict {
  if (item === undefined || !isSecretRight) return wrongKey
  if (item.revokedMs !== undefined) return refusal('AUTHENTICATION_FAILED', `The API key ${keyId} was revoked.`)
  if (item.expiresMs !== undefined && nowMs >= item.expiresMs)
    return refusal('AUTHENTICATION_FAILED', `The API key ${keyId} has expired.`)
  if (need !== 'anybody' && need !== 'any-key' && !item.allow.includes(need))
    return refusal(
      'AUTHORIZATION_FAILED',
      `The API key ${keyId} allows ${item.allow.join(', ')}; this takes one that allows ${need}.`,
    )
  return { ok: true, key: apiKeyOf(keyId, item) }
}

export const noKey: Refusal = refusal(
  'AUTHENTICATION_FAILED',
  'This takes an API key, <id>.<secret>: as Authorization: Bearer, or as user and password of Basic.',
)

const wrongKey: Refusal = refusal('AUTHENTICATION_FAILED', 'There is no such API key.')

/** Without what is nobody's business. */
export function apiKeyOf(id: string, { name, allow, createdMs, expiresMs }: ApiKeyItem): ApiKey {
  return { id, name, allow, createdMs, ...(expiresMs === undefined ? {} : { expiresMs }) }
}

/** What a new key is to be, checked. */
export interface NewApiKey {
  readonly name: string
  readonly allow: readonly Work[]
  readonly expiresMs?: EpochMs
}

/** The sentence that says what is wrong with it, or undefined. */
export function checkNewKey({ name, allow, expiresMs }: NewApiKey, nowMs: EpochMs): string | undefined {
  if (name.length > apiKeyNameLengthMax || !/^[^\p{C}\s](?:[^\p{C}]*[^\p{C}\s])?$/u.test(name))
    return `The name of a key is 1 to ${apiKeyNameLengthMax} printable characters without blanks at its ends.`
  if (allow.length === 0 || !allow.every((work) => works.includes(work)) || new Set(allow).size < allow.length)
    return `A key allows one or more of ${works.join(', ')}, each named once.`
  if (expiresMs !== undefined && !(Number.isSafeInteger(expiresMs) && expiresMs > nowMs))
    return 'A key expires at a time to come, in milliseconds since 1970.'
  return undefined
}

/**
 * What each of a gateway's routes asks for, as short as it gets: `admin` is left out, because whatever is not listed asks for
 * that (A1). For those who decide without the routes themselves.
 */
export type RouteNeeds = Readonly<Partial<Record<Need, readonly string[]>>>

export function routeNeedsOf(routes: Iterable<{ readonly routeKey: string; readonly need: Need }>): RouteNeeds {
  const needs: Partial<Record<Need, string[]>> = {}
  for (const { routeKey, need } of routes)
    if (need !== 'admin') {
      needs[need] ??= []
      needs[need].push(routeKey)
    }
  return needs
}

/** HEAD asks for what GET asks for. */
export function needOfRouteKey(needs: RouteNeeds, routeKey: string): Need {
  const asked = routeKey.replace(/^HEAD /, 'GET ')
  for (const [need, routeKeys] of Object.entries(needs)) if (routeKeys.includes(asked)) return need as Need
  return 'admin'
}
