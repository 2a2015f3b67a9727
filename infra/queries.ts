/** Saved queries of CloudWatch Logs Insights, for what no environment knows by itself. Nothing is billed before somebody runs one. */
import { type LogGroup, QueryDefinition, QueryString } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { usageProperties } from '../functions/metrics.ts'
import { listPrices } from '../lib/core/prices.ts'

export interface QueriesProps {
  /** This deployment among others: the folder that they are saved in. */
  readonly service: string
  /** Of all functions. */
  readonly logGroups: readonly LogGroup[]
}

const shown: Readonly<Record<'requests' | (typeof usageProperties)[number], string>> = {
  requests: 'allRequests',
  s3Put: 'puts',
  s3Get: 'gets',
  dynamoDbWrite: 'writeUnits',
  dynamoDbRead: 'readUnits',
}

/** A number as the query language takes it: without an exponent. */
const decimal = (value: number) => value.toFixed(12).replace(/0+$/, '')

export class Queries extends Construct {
  constructor(scope: Construct, id: string, { service, logGroups }: QueriesProps) {
    super(scope, id)
    const usd = usageProperties.map((name) => `${name} * ${decimal(listPrices[name])}`).join(' + ')
    const sums = Object.entries(shown).map(([name, as]) => `sum(${name}) as ${as}`)
    new QueryDefinition(this, 'CostByTopic', {
      queryDefinitionName: `${service}/cost by topic`,
      logGroups: [...logGroups],
      queryString: new QueryString({
        filterStatements: ['ispresent(usage)'],
        fields: [`${usd} as usd`],
        statsStatements: [`sum(usd) as dollars, ${sums.join(', ')} by topic, usage`],
        sort: 'dollars desc',
        limit: 1_000,
      }),
    })
  }
}
