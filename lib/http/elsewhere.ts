/** Routes that another function serves: so much of them as a router has to know to say 405, `Allow`, or that they are elsewhere. */
import type { Route } from './route.ts'

export type RouteElsewhere = Pick<Route, 'work' | 'access' | 'method' | 'path' | 'mediaTypes' | 'prefixes'>

export function elsewhere({ work, access, method, path, mediaTypes, prefixes }: Route): RouteElsewhere {
  return {
    work,
    method,
    path,
    ...(access === undefined ? {} : { access }),
    ...(mediaTypes === undefined ? {} : { mediaTypes }),
    ...(prefixes === undefined ? {} : { prefixes }),
  }
}

/** For an app that serves other work (`AppOptions.work`), which never calls it. */
export function routeElsewhere(shape: RouteElsewhere): Route {
  return {
    ...shape,
    operation: { operationId: `${shape.method} ${shape.path}`, summary: '', tags: [], responses: {} },
    handle: () => Promise.reject(new Error(`${shape.method} ${shape.path} is served elsewhere`)),
  }
}
