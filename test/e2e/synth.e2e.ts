/** The template, from what is committed and what `npm ci` installs: no account, no credentials, no network. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { projectDirectory, run } from './server-process.ts'

/** A proxy that nobody listens at: what asks the network for anything fails. */
const nowhere = 'http://127.0.0.1:9'

describe('cdk synth --strict of a clean clone', () => {
  it('needs neither account nor network, and bundles every function', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'highwater-clone-'))
    t.after(() => rm(directory, { recursive: true, force: true }))
    const clone = join(directory, 'clone')
    const cloned = await run('git', ['clone', '--quiet', '--depth', '1', `file://${projectDirectory}`, clone])
    assert.equal(cloned.code, 0, cloned.stderr)
    await symlink(join(projectDirectory, 'node_modules'), join(clone, 'node_modules'))
    const home = join(directory, 'home')
    await mkdir(home)
    const bin = join(projectDirectory, 'node_modules/.bin')
    const beganMs = Date.now()
    const synth = await run('npx', ['--no-install', 'cdk', 'synth', '--strict', '--quiet', '--output', 'cdk.out'], {
      cwd: clone,
      timeoutMs: 240_000,
      env: {
        PATH: `${bin}:${process.env.PATH}`,
        HOME: home,
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
    assert.equal(synth.code, 0, synth.stdout + synth.stderr)
    t.diagnostic(`${Math.round((Date.now() - beganMs) / 1_000)} s`)
    const output = join(clone, 'cdk.out')
    const template = JSON.parse(await readFile(join(output, 'Highwater.template.json'), 'utf8')) as {
      Resources: Record<string, { Type: string }>
    }
    const functions = Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::Lambda::Function')
    assert.ok(functions.length >= 4)
    const assets = (await readdir(output)).filter((name) => name.startsWith('asset.'))
    const bundles = await Promise.all(assets.map((asset) => readdir(join(output, asset))))
    for (const bundle of bundles) assert.deepEqual(bundle.sort(), ['index.mjs', 'index.mjs.map'])
    assert.ok(bundles.length >= 4)
  })

  it('refuses a deployment that asks nobody who he is', async (t) => {
    const output = await mkdtemp(join(tmpdir(), 'highwater-synth-'))
    t.after(() => rm(output, { recursive: true, force: true }))
    const parameters = [
      'synth',
      '--strict',
      '--quiet',
      '-c',
      'auth=none',
      '-c',
      'aws:cdk:bundling-stacks=',
      '--output',
      output,
    ]
    const synth = await run(join(projectDirectory, 'node_modules/.bin/cdk'), parameters, {
      cwd: projectDirectory,
      timeoutMs: 240_000,
      env: { PATH: `${join(projectDirectory, 'node_modules/.bin')}:${process.env.PATH}`, CI: '1' },
    })
    assert.notEqual(synth.code, 0)
    assert.match(synth.stdout + synth.stderr, /auth=none: everybody who finds the URL/)
  })

  it('says in one sentence what is wrong with the contexts', async () => {
    const synth = await run(join(projectDirectory, 'node_modules/.bin/cdk'), ['synth', '-c', 'auht=iam', '--quiet'], {
      cwd: projectDirectory,
      timeoutMs: 120_000,
      env: { PATH: `${join(projectDirectory, 'node_modules/.bin')}:${process.env.PATH}`, CI: '1' },
    })
    assert.notEqual(synth.code, 0)
    assert.match(synth.stderr, /Cannot deploy so: there is no context auht \(there are stage, /)
  })
})
