/**
 * Least privilege, both ways round: whatever a function asked for in this run its synthesised role allows, and whatever a role
 * allows was asked for in this run, or infra/permissions.ts says when it is. The local AWS checks the first, too, except for
 * the keys of items.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type FunctionName, permissionsOf } from '../../../infra/permissions.ts'
import type { Cloud } from './cloud.ts'
import type { Asked } from './recorder.ts'
import { accessKeyOf, type DeployedFunction, type Stack, type Template } from './stack.ts'

/** One action on one kind of thing. */
interface Allowed {
  readonly action: string
  /** `bucket`, `bucket/segments/*`, `table`, `stream`. */
  readonly resource: string
  /** Of items, by partition key; undefined: no condition. */
  readonly keys?: readonly string[]
}

/** @param asked of the functions of this stack, noted while the suites ran */
export function privilegeSuite(
  given: () => { readonly cloud: Cloud; readonly stack: Stack; readonly asked: readonly Asked[] },
): void {
  describe('the role of each function', () => {
    test('allows all that the function asked for, and nothing that was never asked for without a reason', (t) => {
      const { cloud, stack, asked } = given()
      if (cloud.recorder === undefined) return t.skip('requests are recorded on a cloud of our own')
      const unused: string[] = []
      for (const deployed of stack.functions) {
        const used = asked.filter(({ accessKeyId }) => accessKeyId === accessKeyOf(deployed))
        const distinct = new Set(
          used.map((each) => `${each.action} ${placeOf(stack, each)} ${each.keys.map(patternOf)}`),
        )
        t.diagnostic(`${deployed.name}: ${[...distinct].sort().join('; ')}`)
        assert.ok(used.length > 0, `${deployed.name} asked for nothing: does the recorder know its credentials?`)
        assert.deepEqual(
          used.filter(({ status }) => status === 403),
          [],
          `${deployed.name} was refused by the local AWS`,
        )
        const allowed = allowedBy(stack.template, deployed)
        for (const each of used)
          assert.ok(
            allowed.some((entry) => covers(stack, entry, each)),
            `${deployed.name} asked for ${each.action} on ${each.resource} ${each.keys}, which its role does not allow`,
          )
        for (const entry of allowed.flatMap(oneByOne))
          if (!used.some((each) => covers(stack, entry, each)) && !hasReason(deployed.name as FunctionName, entry))
            unused.push(`${deployed.name}: ${entry.action} on ${entry.resource} ${entry.keys ?? ''}`)
      }
      assert.deepEqual(unused, [], 'allowed, never asked for, and infra/permissions.ts does not say when it is')
    })

    test('no role but that of the sweep allows deleting objects', (t) => {
      const { cloud, stack } = given()
      if (cloud.recorder === undefined) return t.skip('requests are recorded on a cloud of our own')
      for (const deployed of stack.functions)
        for (const { action, resource } of allowedBy(stack.template, deployed)) {
          assert.ok(!action.includes('*'), action)
          if (action.startsWith('s3:Delete'))
            assert.deepEqual([deployed.name, resource], ['sweep', 'bucket/segments/*'])
        }
    })
  })
}

function placeOf({ bucket, table }: Stack, { resource }: Asked): string {
  if (resource === table) return 'table'
  return resource === bucket
    ? 'bucket'
    : resource.replace(`${bucket}/`, 'bucket/').replace(/^bucket\/segments\/.*/, 'bucket/segments/*')
}

/** `heads/abc/0` as `heads/*`. */
function patternOf(key: string): string {
  return key.replace(/\/.*$/, '/*')
}

function covers(stack: Stack, { action, resource, keys }: Allowed, asked: Asked): boolean {
  if (asked.action !== action || !matches(resource, placeOf(stack, asked))) return false
  return (
    keys === undefined || (asked.keys.length > 0 && asked.keys.every((key) => keys.some((like) => matches(like, key))))
  )
}

/** @param pattern with a `*` at its end at most */
function matches(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern
}

function oneByOne(entry: Allowed): Allowed[] {
  return entry.keys === undefined ? [entry] : entry.keys.map((key) => ({ ...entry, keys: [key] }))
}

function hasReason(name: FunctionName, { action, resource, keys }: Allowed): boolean {
  return permissionsOf(name).some(({ actions, on, rarely }) => {
    if (rarely === undefined || !actions.includes(action)) return false
    switch (on.kind) {
      case 'items':
        return resource === 'table' && on.collections.includes(keys?.[0] ?? '')
      case 'stream':
        return resource === 'stream'
      case 'bucket':
        return resource === 'bucket'
      default:
        return resource === `bucket/${on.prefix}*`
    }
  })
}

interface Statement {
  readonly Effect: string
  readonly Action: string | readonly string[]
  readonly Resource: unknown
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

/** What the template's policies for the function's role say about the storage; its log is another matter. */
function allowedBy({ Resources }: Template, { name }: DeployedFunction): Allowed[] {
  const ids = Object.keys(Resources)
  const role = ids.find(
    (id) => Resources[id]?.Type === 'AWS::IAM::Role' && Resources[id].Properties.Description === `Highwater: ${name}`,
  )
  assert.ok(role, `a role of ${name}`)
  assert.equal(Resources[role]?.Properties.ManagedPolicyArns, undefined)
  const policies = Object.values(Resources).filter(
    ({ Type, Properties }) =>
      Type === 'AWS::IAM::Policy' && Properties.Roles.some(({ Ref }: { Ref?: string }) => Ref === role),
  )
  const statements = policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement as Statement[])
  return statements.flatMap(({ Effect, Action, Resource, Condition = {} }) => {
    assert.equal(Effect, 'Allow')
    const keys = Object.values(Condition).map((condition) => condition['dynamodb:LeadingKeys'])[0]
    return [Action].flat().flatMap((action) =>
      action.startsWith('logs:')
        ? []
        : [Resource].flat().map((resource) => ({
            action,
            resource: resolved(Resources, resource),
            ...(keys === undefined ? {} : { keys: [keys].flat() }),
          })),
    )
  })
}

/** A resource of the template as `bucket`, `bucket/…`, `table` or `stream`. */
function resolved(resources: Template['Resources'], value: unknown): string {
  if (typeof value === 'string') return value
  const { 'Fn::GetAtt': att, 'Fn::Join': join } = value as {
    'Fn::GetAtt'?: [string, string]
    'Fn::Join'?: [string, unknown[]]
  }
  if (join !== undefined) return join[1].map((part) => resolved(resources, part)).join(join[0])
  const type = resources[att?.[0] ?? '']?.Type
  if (type === 'AWS::S3::Bucket') return 'bucket'
  if (type === 'AWS::DynamoDB::Table') return att?.[1] === 'StreamArn' ? 'stream' : 'table'
  throw new Error(`what is ${JSON.stringify(value)}, of type ${type}?`)
}
