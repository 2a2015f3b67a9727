/**
 * What is written in group-transcripts/ is what happens. After a change that is meant, write them again and read the difference:
 *
 *     node test/core/group-transcript.test.ts --rewrite
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { transcribe } from './group-transcript.ts'

const directory = new URL('./group-transcripts/', import.meta.url)
const isRewriting = process.argv.includes('--rewrite')

describe('a group, as a conversation', () => {
  for (const name of readdirSync(directory).toSorted())
    it(name.replace('.txt', '').replaceAll('-', ' '), () => {
      const file = new URL(name, directory)
      const script = readFileSync(file, 'utf8')
      const happened = transcribe(script)
      if (isRewriting) writeFileSync(file, happened)
      else assert.equal(happened, script)
      assert.ok(happened.includes('\n> '))
    })
})
