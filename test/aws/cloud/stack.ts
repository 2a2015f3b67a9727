/** The stack, deployed into a cloud as its user deploys it: `cdklocal bootstrap`, `cdklocal deploy`. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { projectDirectory, run } from '../../e2e/server-process.ts'
import { ask } from './ask.ts'
import type { Cloud } from './cloud.ts'

export interface DeployedFunction {
  /** `produce`, as infra/ names it. */
  readonly name: string
  readonly functionName: string
  readonly arn: string
  readonly role: string
}

export interface Stack {
  /** Of the API, as a client here reaches it. */
  readonly url: string
  readonly apiId: string
  readonly auth: string
  readonly bucket: string
  readonly table: string
  readonly functions: readonly DeployedFunction[]
  readonly template: Template
}

export interface Template {
  readonly Resources: Readonly<Record<string, TemplateResource>>
}
export interface TemplateResource {
  readonly Type: string
  // biome-ignore lint/suspicious/noExplicitAny: what CloudFormation has
  readonly Properties: any
}

const deployMsMax = 240_000

/** @param directory of one's own: where there is no app, none is synthesised */
export async function bootstrap(cloud: Cloud, directory: string): Promise<void> {
  await cdklocal(cloud, ['bootstrap', `aws://000000000000/${cloud.region}`], {}, directory)
}

export interface DeployOptions {
  /** @default 'Highwater' */
  readonly stackName?: string
  /** Instead of what cdk.json runs. */
  readonly app?: string
  /** For that app. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Deploys with nothing but `cdklocal deploy`, these contexts, and without what MiniStack does not know.
 * @param directory of one's own, for what is synthesised
 */
export async function deploy(
  cloud: Cloud,
  directory: string,
  contexts: Readonly<Record<string, string>> = {},
  { stackName = 'Highwater', app, env = {} }: DeployOptions = {},
): Promise<Stack> {
  const outputsFile = join(directory, `${stackName}.outputs.json`)
  const output = join(directory, `${stackName}.out`)
  // MiniStack knows no saved queries, and refuses a stack that has one.
  const parameters = Object.entries({ savedQueries: 'false', ...contexts }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  await cdklocal(cloud, ['deploy', ...parameters, ...(app === undefined ? [] : ['--app', app])], {
    ...env,
    // Nobody is there to be asked.
    CDK_REQUIRE_APPROVAL: 'never',
    CDK_OUTPUTS_FILE: outputsFile,
    CDK_OUTPUT: output,
  })
  const outputs = JSON.parse(await readFile(outputsFile, 'utf8'))[stackName] as Record<string, string>
  const { HighwaterUrl = '', HighwaterAuth = '', HighwaterBucket = '', HighwaterTable = '' } = outputs
  const [, apiId] = /^https:\/\/([^.]+)\.execute-api\./.exec(HighwaterUrl) ?? []
  assert.ok(apiId, `an API's URL, not ${HighwaterUrl}`)
  return {
    // The name of a host that is only known to AWS; every local one knows this path.
    url: `${cloud.endpoint}/_aws/execute-api/${apiId}`,
    apiId,
    auth: HighwaterAuth,
    bucket: HighwaterBucket,
    table: HighwaterTable,
    functions: await functionsOf(cloud, stackName),
    template: JSON.parse(await readFile(join(output, `${stackName}.template.json`), 'utf8')) as Template,
  }
}

/** The functions of functions/, told by what their descriptions say. Those that CDK brings along are not among them. */
async function functionsOf(cloud: Cloud, stackName: string): Promise<DeployedFunction[]> {
  const { Functions } = (await ask(cloud, 'lambda', 'GET', '/2015-03-31/functions?MaxItems=50')) as {
    Functions: { FunctionName: string; FunctionArn: string; Role: string; Description?: string }[]
  }
  return Functions.flatMap(({ FunctionName, FunctionArn, Role, Description = '' }) => {
    const [, name] = /^Highwater: (\w+)$/.exec(Description) ?? []
    const isOurs = FunctionName.startsWith(`${stackName}-Log`)
    return name === undefined || !isOurs ? [] : [{ name, functionName: FunctionName, arn: FunctionArn, role: Role }]
  })
}

/** MiniStack gives each function credentials of its own, made of what it is. */
export function accessKeyOf({ arn, role }: DeployedFunction): string {
  const digest = createHash('sha256').update(`${arn}:${role}`).digest('hex')
  return `ASIA${digest.slice(0, 16).toUpperCase()}`
}

async function cdklocal(
  cloud: Cloud,
  parameters: readonly string[],
  env: Record<string, string>,
  cwd = projectDirectory,
): Promise<void> {
  const ended = await run('cdklocal', parameters, {
    timeoutMs: deployMsMax,
    cwd,
    env: {
      ...env,
      PATH: `${join(projectDirectory, 'node_modules/.bin')}:${process.env.PATH}`,
      AWS_ENDPOINT_URL: cloud.endpoint,
      AWS_ENDPOINT_URL_S3: cloud.endpoint,
      AWS_REGION: cloud.region,
      AWS_DEFAULT_REGION: cloud.region,
      AWS_ACCESS_KEY_ID: cloud.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: cloud.credentials.secretAccessKey,
    },
  })
  assert.equal(
    ended.code,
    0,
    `cdklocal ${parameters.join(' ')}\n${ended.stdout.slice(-8_000)}${ended.stderr.slice(-8_000)}`,
  )
}
