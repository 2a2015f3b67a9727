/** The template, from what is committed and what `npm ci` installs: no account, no credentials, no network. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Ended, projectDirectory, run } from './server-process.ts'

/** A proxy that nobody listens at: what asks the network for anything fails. */
const nowhere = 'http://127.0.0.1:9'

let directory: string
let clone: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'highwater-clone-'))
  clone = join(directory, 'clone')
  const cloned = await run('git', ['clone', '--quiet', '--depth', '1', `file://${projectDirectory}`, clone])
  assert.equal(cloned.code, 0, cloned.stderr)
  await symlink(join(projectDirectory, 'node_modules'), join(clone, 'node_modules'))
  await mkdir(join(directory, 'home'))
})
after(() => rm(directory, { recursive: true, force: true }))

function synth(...contexts: string[]): Promise<Ended> {
  const named = contexts.flatMap((context) => ['-c', context])
  return run('npx', ['--no-install', 'cdk', 'synth', '--strict', '--quiet', '--output', 'cdk.out', ...named], {
    cwd: clone,
    timeoutMs: 240_000,
    env: {
      PATH: `${join(projectDirectory, 'node_modules/.bin')}:${process.env.PATH}`,
      HOME: join(directory, 'home'),
      CI: '1',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_PROFILE: '',
      HTTP_PROXY: nowhere,
      HTTPS_PROXY: nowhere,
      http_proxy: nowhere,
      https_proxy: nowhere,
    },
  })
}

describe('cdk synth --strict of a clean clone', () => {
  it('needs neither account nor network, and bundles every function', async (t) => {
    const beganMs = Date.now()
    const ended = await synth()
    assert.equal(ended.code, 0, ended.stdout + ended.stderr)
    t.diagnostic(`${Math.round((Date.now() - beganMs) / 1_000)} s`)
    const output = join(clone, 'cdk.out')
    const template = JSON.parse(await readFile(join(output, 'Highwater.template.json'), 'utf8')) as {
      Resources: Record<string, { Type: string }>
    }
    const functions = Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function')
    assert.ok(functions.length >= 4)
    const assets = (await readdir(output)).filter((name) => name.startsWith('asset.'))
    assert.equal(assets.length, functions.length)
    for (const asset of assets)
      assert.deepEqual((await readdir(join(output, asset))).sort(), ['index.mjs', 'index.mjs.map'])
  })

  it('refuses a deployment that asks nobody who he is', async () => {
    const ended = await synth('auth=none')
    assert.notEqual(ended.code, 0)
    assert.match(ended.stdout + ended.stderr, /auth=none: everybody who finds the URL/)
  })

  it('says in one sentence what is wrong with the contexts', async () => {
    const ended = await synth('auht=iam')
    assert.notEqual(ended.code, 0)
    assert.match(ended.stderr, /Cannot deploy so: there is no context auht \(there are stage, /)
  })
})
