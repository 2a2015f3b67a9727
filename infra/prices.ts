/**
 * What the dashboard reckons with: list prices of us-east-1 in USD, on demand, November 2026. Elsewhere, and where free tiers
 * or agreements apply, the bill is another one. The request price of an S3 PUT and what logs cost were not verified.
 */
export const prices = {
  s3Put: 5.0 / 1_000_000,
  writeUnit: 0.625 / 1_000_000,
  readUnit: 0.125 / 1_000_000,
  apiRequest: 1.0 / 1_000_000,
  functionRequest: 0.2 / 1_000_000,
  /** Of memory, on arm64. */
  functionGbSecond: 0.0000133334,
  logGb: 0.5,
} as const
