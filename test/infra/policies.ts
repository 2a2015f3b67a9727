/** What IAM would say of a request, as far as these templates use it: allow and deny, patterns, LeadingKeys. */
import type { Resource } from './synthesis.ts'
import { ofType } from './synthesis.ts'

export interface Statement {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: unknown
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly Principal?: unknown
}

export interface Request {
  readonly action: string
  /** As `flat` writes it. */
  readonly resource: string
  /** Partition keys of the items, for DynamoDB. */
  readonly leadingKeys?: readonly string[]
}

type Resources = Readonly<Record<string, Resource>>

/** All that a role may do: its own policies, and those that name it. */
export function statementsOf(resources: Resources, roleId: string): Statement[] {
  const role = resources[roleId]
  if (role === undefined) throw new Error(`there is no role ${roleId}`)
  const inline = ((role.Properties.Policies ?? []) as { PolicyDocument: { Statement: Statement[] } }[]).flatMap(
    ({ PolicyDocument }) => PolicyDocument.Statement,
  )
  // What is too long for a role's own policies, the CDK puts into managed ones.
  const attached = [...ofType(resources, 'AWS::IAM::Policy'), ...ofType(resources, 'AWS::IAM::ManagedPolicy')]
    .filter(([, { Properties }]) => (Properties.Roles as { Ref: string }[]).some(({ Ref }) => Ref === roleId))
    .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement as Statement[])
  return [...inline, ...attached]
}

/** @returns the first statement that allows it */
export function allowing(statements: readonly Statement[], request: Request): Statement | undefined {
  return statements.find((statement) => statement.Effect === 'Allow' && covers(statement, request))
}

function covers({ Action, Resource, Condition = {} }: Statement, { action, resource, leadingKeys }: Request): boolean {
  return (
    listOf(Action).some((pattern) => isLike(pattern, action)) &&
    listOf(Resource).some((pattern) => isLike(flat(pattern), resource)) &&
    Object.entries(Condition).every(([operator, keys]) =>
      Object.entries(keys).every(([key, values]) => {
        if (operator !== 'ForAllValues:StringLike' || key !== 'dynamodb:LeadingKeys')
          throw new Error(`the condition ${operator} of ${key} is not known here`)
        return (leadingKeys ?? []).every((value) => listOf(values).some((pattern) => isLike(String(pattern), value)))
      }),
    )
  )
}

export function listOf<Value>(value: Value | readonly Value[]): readonly Value[] {
  return Array.isArray(value) ? value : [value as Value]
}

/** An ARN as one text: `<LogicalId.Arn>/segments/*`. */
export function flat(value: unknown): string {
  if (typeof value === 'string') return value
  const node = value as Record<string, unknown>
  if (Array.isArray(node['Fn::Join'])) {
    const [separator, parts] = node['Fn::Join'] as [string, unknown[]]
    return parts.map(flat).join(separator)
  }
  if (Array.isArray(node['Fn::GetAtt'])) return `<${node['Fn::GetAtt'].join('.')}>`
  if (typeof node.Ref === 'string') return `<${node.Ref}>`
  return JSON.stringify(value)
}

/** IAM's patterns: `*` is any text, slashes too; `?` one character. */
export function isLike(pattern: string, text: string): boolean {
  const expression = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${expression}$`, 's').test(text)
}
