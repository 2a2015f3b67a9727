/** Where a server is asked for its metrics. In no list of faces: functions have none, and what would be asked is not there the next time. */
import type { Route } from './route.ts'

/** @param render the metrics, in the format of `contentType` */
export function metricsRoute(contentType: string, render: () => Promise<string>): Route {
  return {
    work: 'admin',
    method: 'GET',
    path: '/metrics',
    operation: {
      operationId: 'getMetrics',
      summary: 'Metrics for Prometheus',
      tags: ['Server'],
      responses: { 200: { description: 'In its text format', content: { 'text/plain': {} } } },
    },
    handle: async () => ({ status: 200, headers: { 'content-type': contentType }, body: await render() }),
  }
}
