import assert from 'node:assert/strict'
import { test } from 'node:test'
import { negotiate } from '../../lib/http/accept.ts'

const offered = ['application/a+json', 'application/b+json', 'text/c'] as const

const cases: readonly [string | null, string | undefined][] = [
  [null, 'application/a+json'],
  ['', 'application/a+json'],
  ['*/*', 'application/a+json'],
  ['*', 'application/a+json'],
  ['text/c', 'text/c'],
  ['TEXT/C; charset=utf-8', 'text/c'],
  ['text/*', 'text/c'],
  ['*/*, text/c', 'text/c'],
  ['*/*;q=0.5, application/b+json', 'application/b+json'],
  ['application/b+json;q=0.4, text/c;q=0.6', 'text/c'],
  ['application/a+json;q=0, */*', 'application/b+json'],
  ['application/*;q=0, */*;q=0.1', 'text/c'],
  ['image/png', undefined],
  ['*/*;q=0', undefined],
  ['text/c;q=nonsense', undefined],
]

for (const [accept, expected] of cases)
  test(`who accepts ${JSON.stringify(accept)} gets ${expected ?? 'nothing'}`, () =>
    assert.equal(negotiate(accept, offered), expected))
