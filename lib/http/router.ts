/** Finds the route of a request in the faces' tables. hono's trie does the matching; what is a conflict is decided here. */
import { TrieRouter } from 'hono/router/trie-router'
import type { Method, Route } from './route.ts'

export type Match =
  | { readonly kind: 'route'; readonly route: Route; readonly prefix: string; readonly params: Record<string, string> }
  | { readonly kind: 'unknown-path' }
  | { readonly kind: 'wrong-method'; readonly allow: readonly Method[] }
  | { readonly kind: 'wrong-media-type'; readonly mediaTypes: readonly string[] }

export interface Router {
  /** @param path as it came, percent-encoded @param mediaType of the body, lower case, without parameters */
  match(method: string, path: string, mediaType: string): Match
}

/** A path under one of its prefixes, with the routes that serve it. */
interface Place {
  readonly prefix: string
  readonly params: readonly Param[]
  readonly routes: Map<Method, Route[]>
}

interface Param {
  readonly name: string
  /** What the trie calls it: by position, because two faces may name the same segment differently. */
  readonly key: string
}

/** @throws Error where two routes claim the same requests: a bug of the tables */
export function createRouter(routes: readonly Route[]): Router {
  const places = new Map<string, Place>()
  for (const route of routes) {
    for (const prefix of route.prefixes ?? ['']) {
      const params: Param[] = []
      const pattern = (prefix + route.path)
        .split('/')
        .map((segment, index) => {
          const name = /^\{([a-z_]+)\}$/.exec(segment)?.[1]
          if (name === undefined) return segment
          params.push({ name, key: `p${index}` })
          return `:p${index}`
        })
        .join('/')
      const place: Place = places.get(pattern) ?? { prefix, params, routes: new Map() }
      places.set(pattern, place)
      if (namesOf(place.params) !== namesOf(params))
        throw new Error(`${route.path} names its parameters ${namesOf(params)}, another route ${namesOf(place.params)}`)
      const shared = place.routes.get(route.method) ?? []
      for (const other of shared)
        if (mediaTypesOf(other).some((type) => mediaTypesOf(route).includes(type)))
          throw new Error(`${route.method} ${pattern} is claimed by two routes`)
      // The one that takes every media type comes last.
      place.routes.set(
        route.method,
        [...shared, route].sort((a, b) => Number(a.mediaTypes === undefined) - Number(b.mediaTypes === undefined)),
      )
    }
  }

  const trie = new TrieRouter<Place>()
  const literalFirst = [...places.keys()].sort((a, b) => (literalness(a) < literalness(b) ? -1 : 1))
  for (const pattern of literalFirst) trie.add('ALL', pattern, places.get(pattern)!)

  return {
    match(method, path, mediaType) {
      const found = trie.match('ALL', normal(path))[0] as [Place, Record<string, string>][]
      const allow: Method[] = []
      for (const [place, values] of found) {
        const candidates = place.routes.get(method === 'HEAD' ? 'GET' : (method as Method))
        if (candidates === undefined) {
          allow.push(...place.routes.keys())
          continue
        }
        const params = decodeParams(place.params, values)
        if (params === undefined) return { kind: 'unknown-path' }
        for (const route of candidates)
          if (route.mediaTypes === undefined || route.mediaTypes.includes(mediaType))
            return { kind: 'route', route, prefix: place.prefix, params }
        return { kind: 'wrong-media-type', mediaTypes: candidates.flatMap((route) => route.mediaTypes ?? []) }
      }
      return allow.length === 0 ? { kind: 'unknown-path' } : { kind: 'wrong-method', allow: [...new Set(allow)] }
    },
  }
}

const anyMediaType = ['*']

function mediaTypesOf(route: Route): readonly string[] {
  return route.mediaTypes ?? anyMediaType
}

/** Sorts `/topics/-/configs` before `/topics/:p2/configs`: at the first segment that differs in kind, the literal wins. */
function literalness(pattern: string): string {
  return pattern
    .split('/')
    .map((segment) => (segment.startsWith(':') ? '1' : '0'))
    .join('')
}

/** One slash at the end means nothing, and a client may have encoded the colon of `records:batch`. */
function normal(path: string): string {
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
  return trimmed.includes('%3') ? trimmed.replace(/%3a/gi, ':') : trimmed
}

function namesOf(params: readonly Param[]): string {
  return params.map((param) => param.name).join(', ')
}

/** undefined: a segment is not percent-encoded UTF-8, which no name is. */
function decodeParams(
  params: readonly Param[],
  values: Readonly<Record<string, string>>,
): Record<string, string> | undefined {
  const decoded: Record<string, string> = {}
  for (const { name, key } of params) {
    const value = values[key]
    if (value === undefined) return undefined
    if (!value.includes('%')) decoded[name] = value
    else
      try {
        decoded[name] = decodeURIComponent(value)
      } catch {
        return undefined
      }
  }
  return decoded
}
