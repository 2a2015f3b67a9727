/** The examples of docs/cli.md: real processes, one after the other, against one server. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Started, startServer } from '../../functions/server.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const examples = [...page.matchAll(/<!-- run -->\n```sh\n([\s\S]*?)```\n(?:```text\n([\s\S]*?)```\n)?/g)]

describe('docs/cli.md', () => {
  let server: Started
  before(async () => {
    server = await startServer({ host: '127.0.0.1', port: 0 })
  })
  after(() => server.close())

  for (const [, commands = '', output = ''] of examples) {
    const [first] = commands.split('\n')
    it(`prints what it says: ${first}`, async () => {
      const { stdout } = await run(
        'bash',
        ['-euo', 'pipefail', '-c', `highwater() { "$NODE" functions/highwater.js "$@"; }\n${commands}`],
        { cwd: root, env: { ...process.env, NODE: process.execPath, HIGHWATER_URL: server.url, LC_ALL: 'C' } },
      )
      assert.equal(stdout.replaceAll(/TopicId: \S+\t/g, ''), output)
    })
  }
  it('has examples', () => assert.ok(examples.length >= 5))
})
