/**
 * The stack, deployed as its user deploys it, and what an application does with it: `cdklocal bootstrap`, `cdklocal deploy`
 * without arguments, then everything through the deployed gateway and the function processes behind it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { apiSuite } from './cloud/api-suite.ts'
import type { Caller } from './cloud/caller.ts'
import { caller, signing } from './cloud/caller.ts'
import { type Cloud, startCloud, whyNoStack } from './cloud/cloud.ts'
import { costSuite } from './cloud/cost-suite.ts'
import { faultsSuite } from './cloud/faults-suite.ts'
import { flightsSuite } from './cloud/flights-suite.ts'
import { groupsSuite } from './cloud/groups-suite.ts'
import { identitySuite } from './cloud/identity-suite.ts'
import { keysSuite } from './cloud/keys-suite.ts'
import { leaseSuite } from './cloud/lease-suite.ts'
import { loadSuite } from './cloud/load-suite.ts'
import { privilegeSuite } from './cloud/privilege-suite.ts'
import type { Asked } from './cloud/recorder.ts'
import { bootstrap, deploy, type Stack } from './cloud/stack.ts'
import { upkeepSuite } from './cloud/upkeep-suite.ts'
import { verifySuite } from './cloud/verify-suite.ts'

let cloud: Cloud
let directory: string
let stack: Stack
let owner: Caller

const missing = await whyNoStack()
if (missing === undefined) everything()
else test('a stack is deployed and used', { skip: missing }, () => {})

function everything(): void {
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-deploy-'))
    cloud = await startCloud()
    await bootstrap(cloud, directory)
    stack = await deploy(cloud, directory)
    owner = caller(stack, signing(cloud, cloud.credentials))
  })
  after(async () => {
    await cloud?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const given = () => ({ cloud, stack, owner, directory })
  /** Of the suites before the costs are measured, which begins by forgetting. */
  const asked: Asked[] = []

  apiSuite(() => owner)
  groupsSuite(() => owner)
  identitySuite(given)
  loadSuite(given)
  flightsSuite(given)
  leaseSuite(given)
  upkeepSuite(given)
  verifySuite(() => owner)
  costSuite(given, () => {
    asked.push(...(cloud.recorder?.asked ?? []))
  })
  privilegeSuite(() => ({ cloud, stack, asked }))
  keysSuite(given)
  faultsSuite(given)
}
