import { Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { createStacks } from '/work/main/infra/stacks.ts'
import { createApp, deploymentOf } from '/work/main/test/infra/synthesis.ts'

const contexts = Object.fromEntries(process.argv.slice(2).map((a) => a.split('=') as [string, string]))
const t = Date.now()
const app = createApp(contexts)
Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
createStacks(app, deploymentOf(contexts))
const { directory } = app.synth()
console.log(Date.now() - t, directory, process.exitCode)
