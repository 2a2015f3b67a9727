import type { Contexts } from './synthesis.ts'

/** Every kind of deployment: each value of each context, and those together that make something of their own. */
export const deployments: readonly Contexts[] = [
  {},
  { stacks: 'separate' },
  { stage: 'dev', auth: 'api-keys' },
  { stage: 'dev-a', stacks: 'separate', tracing: 'true', settings: '{"autoCreateTopics":true}' },
  { auth: 'jwt', jwtIssuer: 'https://login.example', jwtAudience: 'log', cors: 'https://a.example', alarms: 'false' },
  { auth: 'none', functionUrl: 'true', cors: '*', dashboard: 'false' },
  { functionUrl: 'true', alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:alerts' },
  { table: 'Highwater-restored', stacks: 'separate' },
  { compute: 'web' },
  { compute: 'web', auth: 'api-keys', stacks: 'separate' },
  { compute: 'web', auth: 'none', stage: 'dev' },
]
