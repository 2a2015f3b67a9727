/** The consumer of docs/protocol-kafka-rest.md, with curl, as it stands. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startServer } from '../../functions/server.ts'

const page = await readFile(new URL('../../docs/protocol-kafka-rest.md', import.meta.url), 'utf8')
const examples = [...page.matchAll(/<!-- run -->\n```sh\n([\s\S]*?)```\n```text\n([\s\S]*?)```\n/g)]

test('the examples of docs/protocol-kafka-rest.md print what they say', async () => {
  assert.ok(examples.length > 0)
  const server = await startServer({ host: '127.0.0.1', port: 0 })
  try {
    for (const [, commands = '', output = ''] of examples) {
      const there = commands.replaceAll('http://127.0.0.1:8082', server.url)
      const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', there])
      const printed = stdout.replaceAll(server.url, 'http://127.0.0.1:8082')
      assert.equal(printed.replaceAll(/"timestamp":\d+/g, '"timestamp":<number>'), output)
    }
  } finally {
    await server.close()
  }
})
