/** The examples of docs/authentication.md: the first key straight in a data directory, then a server on it that wants keys. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Started, startServer } from '../../functions/server.ts'

const program = fileURLToPath(new URL('../../functions/highwater.js', import.meta.url))
const page = await readFile(new URL('../../docs/authentication.md', import.meta.url), 'utf8')
const [first, ...others] = [...page.matchAll(/<!-- run -->\n```sh\n([\s\S]*?)```\n(?:```text\n([\s\S]*?)```\n)?/g)].map(
  ([, commands = '', output = '']) => ({ commands, output }),
)

describe('docs/authentication.md', () => {
  let directory: string
  let server: Started
  const variables: Record<string, string> = {}

  async function run(commands: string): Promise<string> {
    const script = `highwater() { "$NODE" "$PROGRAM" "$@"; }\n${commands}`
    const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: directory,
      env: { ...process.env, ...variables, NODE: process.execPath, PROGRAM: program, LC_ALL: 'C' },
    })
    return stdout
  }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'highwater-authentication-'))
    assert.ok(first)
    assert.equal(await run(first.commands), first.output)
    server = await startServer({ host: '127.0.0.1', port: 0, dataDir: join(directory, 'log'), requireKeys: true })
    variables.HIGHWATER_URL = server.url
    variables.HIGHWATER_API_KEY = (await readFile(join(directory, 'root.key'), 'utf8')).trim()
  })
  after(async () => {
    await server?.close()
    await rm(directory, { recursive: true })
  })

  for (const { commands, output } of others) {
    const [title] = commands.split('\n')
    it(`prints what it says: ${title}`, async () => assert.equal(sorted(await run(commands)), sorted(output)))
  }
  it('has examples', () => assert.equal(others.length, 2))
})

/** The keys are listed by their random ids. */
function sorted(text: string): string {
  return text.replace(/((?:admin|produce)\t.*\n)+/, (rows) => rows.split('\n').sort().join('\n'))
}
