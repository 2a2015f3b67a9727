/** Where the OpenAPI document is served; whoever serves it says where it comes from. */
import type { Route } from './route.ts'

/** @param documentOf the document as JSON, called when it is asked for */
export function openApiRoute(documentOf: (version: string) => string): Route {
  return {
    work: 'admin',
    access: 'any-key',
    method: 'GET',
    path: '/openapi.json',
    operation: {
      operationId: 'getOpenApi',
      summary: 'This document',
      tags: ['Server'],
      responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': {} } } },
    },
    handle: async ({ version }) => ({
      status: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-cache' },
      body: documentOf(version),
    }),
  }
}
