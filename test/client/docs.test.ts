/** The examples of docs/client.md, run as they stand, in their order, against one server; `// …` says what is printed. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { type Started, startServer } from '../../functions/server.ts'

const page = await readFile(new URL('../../docs/client.md', import.meta.url), 'utf8')
const examples = [...page.matchAll(/^## (.+)$|^```ts run\n([\s\S]*?)^```$/gm)]

describe('docs/client.md', () => {
  let server: Started
  let directory: string
  before(async () => {
    server = await startServer({ host: '127.0.0.1', port: 0 })
    directory = await mkdtemp(join(tmpdir(), 'highwater-docs-'))
  })
  after(async () => {
    await server.close()
    await rm(directory, { recursive: true })
  })

  let heading = ''
  let count = 0
  for (const [, title, code] of examples) {
    if (code === undefined) {
      heading = title ?? ''
      continue
    }
    const number = ++count
    it(`the example under "${heading}" prints what it says`, async () => {
      const printed: string[] = []
      const file = join(directory, `${number}.ts`)
      await writeFile(
        file,
        code
          .replace('../lib/client/highwater.ts', new URL('../../lib/client/highwater.ts', import.meta.url).href)
          .replaceAll('http://127.0.0.1:8082', server.url),
      )
      const print = console.log
      console.log = (...words: unknown[]) => void printed.push(words.join(' '))
      try {
        await import(pathToFileURL(file).href)
      } finally {
        console.log = print
      }
      const expected = [...code.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text)
      assert.deepEqual(printed, expected)
    })
  }
  it('has examples', () => assert.ok(count >= 6))
})
