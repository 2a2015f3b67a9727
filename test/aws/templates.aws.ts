/** cfn-lint over the template of every kind of deployment: what CloudFormation would refuse, without asking it. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { run } from '../e2e/server-process.ts'
import { deployments } from '../infra/deployments.ts'
import { synthesise, type TemplateJson } from '../infra/synthesis.ts'
import { installed, pythonOf } from './engines.ts'

/** Rules that are left out, of all templates. */
const ignored = {
  I1022: 'Prefers Fn::Sub to Fn::Join. The CDK writes the latter.',
  W3005: 'A dependency that a reference makes anyway. The CDK writes those of roles and of Web Functions out.',
} as const

interface Finding {
  readonly Rule: { readonly Id: string }
  readonly Message: string
  readonly Filename: string
  readonly Location: { readonly Path: readonly (string | number)[] | null }
}

let directory: string
let linter: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'highwater-templates-'))
  const requirements = join(import.meta.dirname, 'requirements-lint.txt')
  linter = join(await installed('cfn-lint', requirements, await pythonOf(3, 10)), 'bin/cfn-lint')
})
after(() => rm(directory, { recursive: true, force: true }))

async function lint(templates: readonly TemplateJson[]): Promise<string[]> {
  const files = templates.map((_, index) => join(directory, `${index}.json`))
  await Promise.all(templates.map((template, index) => writeFile(files[index]!, JSON.stringify(template))))
  const parameters = ['--format', 'json', '--include-checks', 'I', '--ignore-checks', ...Object.keys(ignored)]
  const { stdout, stderr } = await run(linter, [...parameters, '--regions', 'us-east-1', '--', ...files], {
    timeoutMs: 300_000,
  })
  assert.equal(stderr, '')
  return (JSON.parse(stdout) as Finding[]).map(
    ({ Rule, Message, Filename, Location }) => `${Filename} ${Location.Path?.join('/')}: ${Rule.Id} ${Message}`,
  )
}

describe('cfn-lint', () => {
  it('finds nothing in the templates of every kind of deployment', async () => {
    const templates = deployments.flatMap((contexts) => {
      const { service, storage } = synthesise(contexts)
      return [...new Set([service, storage])]
    })
    assert.deepEqual(await lint(templates), [])
  })

  it('is no formality: a value that the service does not know is found', async () => {
    const { service } = synthesise()
    const table = service.Resources.HighwaterMetadata!
    const wrong = { ...table, Properties: { ...table.Properties, BillingMode: 'FREE' } }
    const findings = await lint([{ ...service, Resources: { HighwaterMetadata: wrong }, Outputs: {} }])
    assert.ok(
      findings.some((finding) => /HighwaterMetadata\/Properties\/BillingMode: E3030/.test(finding)),
      findings.join('\n'),
    )
  })
})
