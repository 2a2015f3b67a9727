/** What `cdk` runs (cdk.json): the deployment that the contexts describe. */
import { App } from 'aws-cdk-lib'
import { parseContexts } from './contexts.ts'
import { createStacks } from './stacks.ts'

const app = new App()
const parsed = parseContexts(app.node.getAllContext())
if (parsed.ok) createStacks(app, parsed.deployment)
else {
  console.error(parsed.message)
  process.exitCode = 1
}
