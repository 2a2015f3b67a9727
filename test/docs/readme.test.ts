/** The README's "first record in a minute", run as it stands against a server of its own. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startServer } from '../../functions/server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

interface Example {
  readonly commands: string
  readonly output: string | undefined
}

/** The blocks after `<!-- run -->`, with the block of output that may follow. */
function examplesOf(markdown: string): Example[] {
  const pattern = /<!-- run -->\n```sh\n([\s\S]*?)```\n(?:```text\n([\s\S]*?)```\n)?/g
  return [...markdown.matchAll(pattern)].map(([, commands = '', output]) => ({ commands, output }))
}

describe('the README', () => {
  it('its first record in a minute does what it says', async () => {
    const examples = examplesOf(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'))
    assert.ok(examples.length >= 4)
    const server = await startServer({ port: 0, host: '127.0.0.1', settings: {} })
    try {
      for (const { commands, output } of examples) {
        const there = commands
          .replaceAll('http://127.0.0.1:8082', server.url)
          .replaceAll('npx highwater', `node functions/highwater.js --url ${server.url}`)
        const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', there], {
          cwd: root,
          env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
        })
        if (output !== undefined)
          assert.equal(stdout.trim().replace(/"timestamp":\d+/, '"timestamp":<number>'), output.trim())
        else assert.match(stdout, /bert says good morning/)
      }
    } finally {
      await server.close()
    }
  })
})
