import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { createStacks } from '../../infra/stacks.ts'
import { deployments } from './deployments.ts'
import { createApp, deploymentOf, type TemplateJson } from './synthesis.ts'

const acknowledgedKey = Validations.ACKNOWLEDGED_RULES_METADATA_KEY

describe('every kind of deployment', () => {
  for (const contexts of deployments)
    describe(`with ${JSON.stringify(contexts)}`, () => {
      const app = createApp(contexts)
      createStacks(app, deploymentOf(contexts))
      // References between stacks are what they will be only afterwards.
      const templates = app.synth().stacks.map(({ template }) => template as TemplateJson)

      it('passes cdk-nag, AwsSolutions', () => {
        const report = new AwsSolutionsChecks(app).validateScope(app)
        assert.deepEqual(report.violations, [])
        assert.ok(report.success)
        // And what it would find has a reason, in a sentence.
        for (const construct of app.node.findAll())
          for (const { type, data } of construct.node.metadata)
            if (type === acknowledgedKey)
              for (const reason of Object.values(data as Record<string, string>))
                assert.match(String(reason), /^[A-Za-z].{30,}\.$/s, construct.node.path)
      })

      it('refers to nothing that is not there, and has fewer resources than a stack may have', () => {
        for (const template of templates) {
          const there = new Set([...Object.keys(template.Resources), 'BootstrapVersion'])
          assert.ok(there.size < 500)
          const text = JSON.stringify({ ...template, Rules: undefined })
          const named = [...text.matchAll(/"(?:Ref|Fn::GetAtt)":\[?"([^"]+)"/g)].map(([, name]) => name!)
          assert.ok(named.length > 0)
          for (const name of named) assert.ok(there.has(name) || name.startsWith('AWS::'), name)
        }
      })
    })
})

describe('cdk-nag', () => {
  it('is no formality: what nobody acknowledged is found', () => {
    const app = createApp({})
    const { storage } = createStacks(app, deploymentOf({}))
    const bucket = storage.node.findAll().find(({ node }) => node.id === 'Segments')!
    const acknowledged = bucket.node.metadata.filter(({ type }) => type === acknowledgedKey)
    assert.equal(acknowledged.length, 1)
    // Its reason gone, the finding is there.
    Object.defineProperty(bucket.node, 'metadata', { get: () => [] })
    const { violations } = new AwsSolutionsChecks(app).validateScope(app)
    assert.deepEqual(
      violations.map(({ ruleName }) => ruleName),
      ['AwsSolutions-S1'],
    )
  })
})
