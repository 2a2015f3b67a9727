/** Templates of a deployment, without bundling: what they say does not depend on the code. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { App, type Stack } from 'aws-cdk-lib'
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions'
import { type Deployment, parseContexts } from '../../infra/contexts.ts'
import { createStacks, type Stacks } from '../../infra/stacks.ts'

const root = join(import.meta.dirname, '../..')
const cdkJson = JSON.parse(readFileSync(join(root, 'cdk.json'), 'utf8')) as { context: Record<string, unknown> }

export type Contexts = Readonly<Record<string, unknown>>

// biome-ignore lint/suspicious/noExplicitAny: a template's properties are as many types as there are resources
export type Properties = Record<string, any>

export interface Resource {
  readonly Type: string
  readonly Properties: Properties
  readonly DeletionPolicy?: string
  readonly UpdateReplacePolicy?: string
  readonly DependsOn?: readonly string[]
}

export interface TemplateJson {
  readonly Resources: Readonly<Record<string, Resource>>
  readonly Outputs?: Readonly<Record<string, { readonly Value: unknown }>>
}

export interface Synthesised {
  /** All stacks in one: logical ids of a deployment do not clash. */
  readonly resources: Readonly<Record<string, Resource>>
  readonly storage: TemplateJson
  readonly service: TemplateJson
  readonly stacks: Stacks
  readonly warnings: readonly string[]
}

const outdirs: string[] = []
process.once('exit', () => {
  for (const outdir of outdirs) rmSync(outdir, { recursive: true, force: true })
})

/** An app as `cdk` would make it, that bundles nothing and checks nothing by itself. Its output is removed when the process ends. */
export function createApp(contexts: Contexts = {}): App {
  const outdir = mkdtempSync(join(tmpdir(), 'highwater-synth-'))
  outdirs.push(outdir)
  return new App({
    outdir,
    analyticsReporting: false,
    treeMetadata: false,
    builtinCloudFormationValidation: false,
    context: { ...cdkJson.context, 'aws:cdk:bundling-stacks': [], 'aws:cdk:disable-stack-trace': true, ...contexts },
  })
}

export function deploymentOf(contexts: Contexts): Deployment {
  const parsed = parseContexts(contexts)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.deployment
}

const synthesised = new Map<string, Synthesised>()

/** What `cdk synth -c name=value ...` makes; the same for the same contexts, so that it is made once. */
export function synthesise(contexts: Contexts = {}): Synthesised {
  const key = JSON.stringify(Object.entries(contexts).sort())
  const known = synthesised.get(key)
  if (known !== undefined) return known
  const stacks = createStacks(createApp(contexts), deploymentOf(contexts))
  const service = templateOf(stacks.service)
  const storage = stacks.storage === stacks.service ? service : templateOf(stacks.storage)
  const warnings = [...new Set([stacks.service, stacks.storage])].flatMap((stack) =>
    Annotations.fromStack(stack)
      .findWarning('*', Match.anyValue())
      .map(({ entry }) => String(entry.data)),
  )
  const made = { service, storage, stacks, warnings, resources: { ...storage.Resources, ...service.Resources } }
  synthesised.set(key, made)
  return made
}

export function templateOf(stack: Stack): TemplateJson {
  return Template.fromStack(stack).toJSON() as TemplateJson
}

export function ofType(resources: Readonly<Record<string, Resource>>, type: string): [string, Resource][] {
  return Object.entries(resources).filter(([, resource]) => resource.Type === type)
}
