import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { asHighwaterError, clientErrorCodes, errorOfAnswer, HighwaterError } from '../../lib/client/error.ts'
import { type ErrorCode, errorCatalogue, refusal } from '../../lib/core/errors.ts'
import { refusalReply } from '../../lib/http/replies.ts'

const answer = (status: number, body: string, headers: Record<string, string> = {}) =>
  errorOfAnswer({ status, body: new TextEncoder().encode(body), headers: new Headers(headers) }, 'GET /x')

describe('an error of the client', () => {
  it('has the code, the message and the answers of the catalogue, for every refusal of the server', () => {
    for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
      const { status, headers, body } = refusalReply(
        refusal(code, 'A sentence.', { endOffset: 7, expectedSequence: 3 }),
      )
      const error = answer(status, String(body), headers)
      const entry = errorCatalogue[code]
      assert.deepEqual(
        [error.code, error.message, error.status, error.retriable, error.effects, error.whatToDo],
        [code, 'A sentence.', entry.status, entry.retriable, entry.effects, entry.whatToDo],
      )
      if (code === 'OFFSET_OUT_OF_RANGE') assert.equal(error.endOffset, 7)
      if (code === 'OUT_OF_ORDER_SEQUENCE_NUMBER') assert.equal(error.expectedSequence, 3)
    }
  })

  it('has a code that error_code names, where nothing names it better and it is the only one', () => {
    assert.equal(answer(404, '{"error_code":40402,"message":"m"}').code, 'UNKNOWN_PARTITION')
    assert.equal(answer(400, '{"error_code":40002,"message":"m"}').code, 'UNEXPECTED_ANSWER')
  })

  it('believes nobody but the server that nothing was done', () => {
    for (const [status, code, retriable, effects] of [
      [400, 'UNEXPECTED_ANSWER', false, 'none'],
      [401, 'UNAUTHORIZED', false, 'none'],
      [403, 'UNAUTHORIZED', false, 'none'],
      [404, 'UNEXPECTED_ANSWER', false, 'none'],
      [413, 'REQUEST_TOO_LARGE', false, 'none'],
      [429, 'TOO_MANY_REQUESTS', true, 'none'],
      [500, 'UNEXPECTED_ANSWER', true, 'possible'],
      [502, 'UNEXPECTED_ANSWER', true, 'possible'],
      [503, 'UNEXPECTED_ANSWER', true, 'possible'],
      [504, 'UNEXPECTED_ANSWER', true, 'possible'],
    ] as const) {
      const error = answer(status, '<html>no</html>')
      assert.deepEqual([status, error.code, error.retriable, error.effects], [status, code, retriable, effects])
    }
  })

  it('knows how long to wait', () => {
    assert.equal(answer(503, '', { 'retry-after': '7' }).retryAfterMs, 7_000)
    assert.equal(answer(503, '', { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }).retryAfterMs, undefined)
  })

  it('says what happened when there was no answer', () => {
    const refused = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:1') })
    const error = asHighwaterError(refused, 'GET /x')
    assert.equal(error.message, 'GET /x failed: connect ECONNREFUSED 127.0.0.1:1')
    assert.deepEqual([error.code, error.retriable, error.effects], ['CONNECTION_FAILED', true, 'possible'])
    assert.ok(error.cause === refused)
  })

  it('has something to do for every code', () => {
    for (const code of Object.keys(clientErrorCodes) as (keyof typeof clientErrorCodes)[])
      assert.ok(new HighwaterError(code, 'm').whatToDo.length > 10)
  })
})
