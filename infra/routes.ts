/** The gateway's routes, read from the table that the app serves (lib/http/faces.ts). */
import { routeNeedsOf } from '../lib/core/api-key.ts'
import { allRoutes } from '../lib/http/faces.ts'
import { type Method, type Need, needOf, type Work } from '../lib/http/route.ts'

export type { Work }

export interface GatewayRoute {
  readonly method: Method | 'HEAD'
  /** With `{names}`, and with the prefix. */
  readonly path: string
  readonly work: Work
  /** What it asks of its caller. */
  readonly need: Need
}

/**
 * Routes that share a method and a path (and are told apart by media types) are one to a gateway. HEAD is what GET is; of
 * admin's, what is not named here comes there all the same.
 */
export const gatewayRoutes: readonly GatewayRoute[] = [
  ...new Map(
    allRoutes.flatMap(({ method, path, prefixes = [''], work, access }) =>
      prefixes.flatMap((prefix) =>
        (method === 'GET' && work !== 'admin' ? (['GET', 'HEAD'] as const) : [method]).map(
          (each) =>
            [
              `${each} ${prefix}${path}`,
              { method: each, path: prefix + path, work, need: needOf({ work, ...(access && { access }) }) },
            ] as const,
        ),
      ),
    ),
  ).values(),
]

/** What the authorizer of API keys knows of the routes: esbuild writes it into its bundle (functions/authorize.ts). */
export const authorizeDefine: Readonly<Record<string, string>> = {
  HIGHWATER_ROUTE_NEEDS: JSON.stringify(
    routeNeedsOf(gatewayRoutes.map(({ method, path, need }) => ({ routeKey: `${method} ${path}`, need }))),
  ),
}

// The end of an execute-api ARN for the requests of a route, such as GET/topics/*/partitions.
export function invokePattern({ method, path }: Pick<GatewayRoute, 'method' | 'path'>): string {
  return `${method}${path.replaceAll(/\{[^}]+\}/g, '*')}`
}

/**
 * Patterns for who may do the work named and nothing else: its routes, and those that are open to every caller. A `*` of IAM
 * also takes slashes: where a route's pattern would let in requests of other work, it is left out. `GET /topics/{topic}` is,
 * for a producer: its pattern would allow reading records.
 */
export function invokePatterns(...works: Work[]): string[] {
  const isGranted = ({ work, need }: GatewayRoute) => works.includes(work) || need === 'any-key' || need === 'anybody'
  // Who may delete a group may also end one of its members, and see what it committed.
  const isImplied = ({ work, method }: GatewayRoute) =>
    works.includes('admin') && work === 'consume' && (method === 'GET' || method === 'HEAD' || method === 'DELETE')
  const others = gatewayRoutes.filter((route) => !isGranted(route) && !isImplied(route))
  const patterns = gatewayRoutes
    .filter(isGranted)
    .map(invokePattern)
    .filter((pattern) => !others.some((other) => isAllowed(pattern, sampleOf(other))))
  // A policy has little room: what another pattern takes in is not said again.
  return patterns.filter((pattern) => !patterns.some((wider) => wider !== pattern && isAllowed(wider, pattern)))
}

/** Whether IAM takes the request for one of the pattern. @param request such as `GET/topics/t/partitions` */
export function isAllowed(pattern: string, request: string): boolean {
  const literals = pattern.split('*').map((literal) => literal.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${literals.join('.*')}$`).test(request)
}

export function sampleOf({ method, path }: Pick<GatewayRoute, 'method' | 'path'>): string {
  return `${method}${path.replaceAll(/\{[^}]+\}/g, 'x')}`
}
