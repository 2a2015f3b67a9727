/** The hosts of AWS that ask for signed requests, and what a signature for them names. */

export interface AwsService {
  readonly service: string
  readonly region: string
}

/** What a request to this URL is signed for; undefined where its host does not say so (a domain of one's own, a local server). */
export function awsServiceOf(url: string | URL): AwsService | undefined {
  const { hostname } = new URL(url)
  const [, api, apiRegion] = /^[^.]+\.(execute-api)\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/.exec(hostname) ?? []
  if (api !== undefined && apiRegion !== undefined) return { service: api, region: apiRegion }
  const [, region] = /^[^.]+\.lambda-url\.([a-z0-9-]+)\.on\.aws$/.exec(hostname) ?? []
  return region === undefined ? undefined : { service: 'lambda', region }
}
