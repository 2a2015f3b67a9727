/**
 * What AWS asks for what Highwater does there. One table: placement, the meter, the benches and the docs read it.
 *
 * Public on-demand list prices of us-east-1 in US dollars, gathered in November 2026. `isChecked` tells whether the figure was read
 * from AWS's published price list then; the others are from memory of the same list, and are to be checked before they are relied on.
 */
export interface Price {
  readonly usd: number
  /** What one of it is. */
  readonly unit: string
  /** Where AWS publishes it. */
  readonly source: string
  readonly isChecked: boolean
}

const s3 = 'Amazon S3 pricing, S3 Standard'
const dynamoDb = 'Amazon DynamoDB pricing, on-demand, Standard table class'
const lambda = 'AWS Lambda pricing'
const apiGateway = 'Amazon API Gateway pricing, HTTP APIs'
const scheduler = 'Amazon EventBridge pricing, Scheduler'
const fargate = 'AWS Fargate pricing, Linux/ARM'
const cloudWatch = 'Amazon CloudWatch pricing'

export const prices = {
  s3Put: { usd: 5 / 1e6, unit: 'PUT or LIST request', source: s3, isChecked: false },
  s3Get: { usd: 0.4 / 1e6, unit: 'GET request', source: s3, isChecked: true },
  s3Delete: { usd: 0, unit: 'DELETE request', source: s3, isChecked: false },
  s3StorageGbMonth: { usd: 0.023, unit: 'GB-month, first 50 TB', source: s3, isChecked: false },
  dynamoDbWrite: {
    usd: 0.625 / 1e6,
    unit: 'write unit of 1 KB; two in a transaction',
    source: dynamoDb,
    isChecked: true,
  },
  dynamoDbRead: { usd: 0.125 / 1e6, unit: 'read unit of 4 KB, strongly consistent', source: dynamoDb, isChecked: true },
  dynamoDbStorageGbMonth: { usd: 0.25, unit: 'GB-month', source: dynamoDb, isChecked: true },
  dynamoDbRecoveryGbMonth: { usd: 0.2, unit: 'GB-month of point-in-time recovery', source: dynamoDb, isChecked: false },
  lambdaRequest: { usd: 0.2 / 1e6, unit: 'request', source: lambda, isChecked: true },
  lambdaArmGbSecond: { usd: 0.0000133334, unit: 'GB-second, arm64', source: lambda, isChecked: true },
  httpApiRequest: {
    usd: 1 / 1e6,
    unit: 'request, each 512 KB, first 300 million',
    source: apiGateway,
    isChecked: true,
  },
  schedulerInvocation: { usd: 1 / 1e6, unit: 'invocation by a schedule', source: scheduler, isChecked: false },
  fargateArmVcpuHour: { usd: 0.03238, unit: 'vCPU-hour, arm64', source: fargate, isChecked: false },
  fargateArmGbHour: { usd: 0.00356, unit: 'GB-hour of memory, arm64', source: fargate, isChecked: false },
  logsIngestGb: { usd: 0.5, unit: 'GB of logs taken in', source: cloudWatch, isChecked: true },
} as const satisfies Record<string, Price>

export type PriceName = keyof typeof prices
/** In US dollars, by name: what calculations take, so that they can be made with other prices. */
export type PriceList = { readonly [Name in PriceName]: number }

export const listPrices: PriceList = Object.fromEntries(
  Object.entries(prices).map(([name, { usd }]) => [name, usd]),
) as PriceList
