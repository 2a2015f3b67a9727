/** What the log costs while it runs. Highwater's own face. */
import type { CostOfStorage, CostOfUse, CostReport, Priced } from '../core/cost-report.ts'
import { refusal } from '../core/errors.ts'
import { operations } from '../core/usage.ts'
import { jsonReply, jsonType, refusalReply } from './replies.ts'
import type { JsonSchema, Route } from './route.ts'

function said(report: CostReport): object {
  return {
    scope: report.scope,
    since_ms: report.sinceMs,
    until_ms: report.untilMs,
    window_ms: report.windowMs,
    usd_per_hour: report.usdPerHour,
    usd_per_month: report.usdPerMonth,
    storage_usd_per_month: report.storageUsdPerMonth,
    used: report.used.map(saidUse),
    stored: report.stored.map(saidStorage),
    is_stored_whole: report.isStoredWhole,
  }
}

function saidUse({ topic, operation, sinceStart, inWindow, usdPerMonth }: CostOfUse): object {
  return {
    topic,
    operation,
    since_start: saidPriced(sinceStart),
    in_window: saidPriced(inWindow),
    usd_per_month: usdPerMonth,
  }
}

function saidPriced({ requests, units, usd }: Priced): object {
  return { requests, units, usd }
}

function saidStorage({ topic, objectBytes, inlineBytes, usdPerMonth }: CostOfStorage): object {
  return { topic, object_bytes: objectBytes, inline_bytes: inlineBytes, usd_per_month: usdPerMonth }
}

const usd: JsonSchema = { type: 'number', description: 'US dollars' }
const pricedSchema: JsonSchema = {
  type: 'object',
  required: ['requests', 'units', 'usd'],
  properties: {
    requests: { type: 'number', description: 'What topics share is counted in parts' },
    units: {
      type: 'object',
      additionalProperties: { type: 'number' },
      description: 'By the names of the price list: s3Put, s3Get, dynamoDbWrite, dynamoDbRead',
    },
    usd,
  },
}
const useProperties: Readonly<Record<string, JsonSchema>> = {
  topic: { type: ['string', 'null'], description: 'null: of no topic; (other): of topics that are not kept apart' },
  operation: { enum: operations },
  since_start: pricedSchema,
  in_window: pricedSchema,
  usd_per_month: usd,
}
const storedProperties: Readonly<Record<string, JsonSchema>> = {
  topic: { type: 'string' },
  object_bytes: { type: 'integer' },
  inline_bytes: { type: 'integer' },
  usd_per_month: usd,
}
const reportProperties: Readonly<Record<string, JsonSchema>> = {
  scope: { enum: ['log', 'server'], description: 'server: others share its stores, and what they ask is not in it' },
  since_ms: { type: 'integer' },
  until_ms: { type: 'integer' },
  window_ms: { type: 'integer', description: 'The last hour, or less where the server is younger' },
  usd_per_hour: { ...usd, description: 'US dollars, of requests to the stores in the window' },
  usd_per_month: { ...usd, description: 'US dollars, the same for 730 hours' },
  storage_usd_per_month: usd,
  used: { type: 'array', items: objectOf(useProperties) },
  stored: { type: 'array', items: objectOf(storedProperties) },
  is_stored_whole: { type: 'boolean', description: 'false: there is more stored than was looked at' },
}

function objectOf(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return { type: 'object', required: Object.keys(properties), properties }
}

export const costRoutes: readonly Route[] = [
  {
    work: 'admin',
    method: 'GET',
    path: '/cost',
    operation: {
      operationId: 'getCost',
      summary: 'What requests to the stores and storage cost, by topic and operation, priced as on AWS',
      description:
        'Counted by a server, over its last hour, and projected for a month of 730 hours. Functions are many and each knows only itself: there the logs are asked.',
      tags: ['Server'],
      responses: {
        200: { description: 'The report', content: { [jsonType]: { schema: objectOf(reportProperties) } } },
      },
    },
    async handle({ cost }) {
      if (cost === undefined)
        return refusalReply(
          refusal(
            'NOT_FOUND',
            'This log runs as functions, each of which knows only itself, so nobody here can say what it costs. Run the query "cost by topic", which its stack has saved in CloudWatch Logs Insights, or estimate it: highwater cost --estimate.',
          ),
        )
      const report = await cost()
      return report.ok ? jsonReply(200, said(report.report)) : refusalReply(report)
    },
  },
]
