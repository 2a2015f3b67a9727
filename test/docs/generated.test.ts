import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { pages } from '../../docs/generate.ts'

describe('generated pages', () => {
  for (const [name, content] of Object.entries(pages))
    it(`docs/${name} is what the code says (npm run docs)`, () => {
      assert.equal(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'), content)
    })
})
