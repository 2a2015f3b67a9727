import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import type { BodySource } from '../../lib/http/request-body.ts'
import { readRequestBody, streamSource } from '../../lib/http/request-body.ts'

function read(body: Uint8Array | BodySource, headers: Record<string, string> = {}, bytesMax = 1_000) {
  const source = body instanceof Uint8Array ? streamSource(partsOf(body)) : body
  return readRequestBody({ method: 'POST', url: 'http://log.test/', headers: new Headers(headers) }, source, bytesMax)
}

/** In three parts. */
function partsOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  const third = Math.ceil(bytes.length / 3)
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += third) controller.enqueue(bytes.slice(at, at + third))
      controller.close()
    },
  })
}

async function outcome(reading: ReturnType<typeof read>): Promise<string | number> {
  const body = await reading
  return body.ok ? body.bytes.length : body.code
}

test('a body of the largest size is read, one byte more is refused', async () => {
  assert.equal(await outcome(read(new Uint8Array(999))), 999)
  assert.equal(await outcome(read(new Uint8Array(1_000))), 1_000)
  assert.equal(await outcome(read(new Uint8Array(1_001))), 'REQUEST_TOO_LARGE')
})

test('a body that declares more than the limit is refused before anything is read', async () => {
  const untouched: BodySource = {
    read() {
      throw new Error('was read')
    },
  }
  assert.equal(await outcome(read(untouched, { 'content-length': '1001' })), 'REQUEST_TOO_LARGE')
})

test('reading stops where the limit is passed', async () => {
  let pulled = 0
  let isCancelled = false
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++
      controller.enqueue(new Uint8Array(400))
    },
    cancel() {
      isCancelled = true
    },
  })
  assert.equal(await outcome(read(streamSource(endless))), 'REQUEST_TOO_LARGE')
  assert.ok(pulled <= 4 && isCancelled)
})

test('gzip and deflate are decoded, up to the same limit', async () => {
  const text = Buffer.from('a'.repeat(1_000))
  const longer = Buffer.from('a'.repeat(1_001))
  for (const encoding of ['gzip', 'GZIP', 'x-gzip']) {
    const body = await read(gzipSync(text), { 'content-encoding': encoding })
    assert.ok(body.ok)
    assert.deepEqual(Buffer.from(body.bytes), text)
    assert.equal(body.bytes.constructor, Uint8Array)
    assert.equal(await outcome(read(gzipSync(longer), { 'content-encoding': encoding })), 'REQUEST_TOO_LARGE')
  }
  assert.equal(await outcome(read(deflateSync(text), { 'content-encoding': 'deflate' })), 1_000)
  assert.equal(await outcome(read(deflateSync(longer), { 'content-encoding': 'deflate' })), 'REQUEST_TOO_LARGE')
})

test('a bomb is refused without being unpacked', async () => {
  const bomb = gzipSync(new Uint8Array(64 * 1_048_576))
  assert.equal(await outcome(read(bomb, { 'content-encoding': 'gzip' }, 100_000)), 'REQUEST_TOO_LARGE')
})

test('a body that is not what Content-Encoding says is refused, and so is an encoding that is not known', async () => {
  const whole = gzipSync('abc')
  assert.equal(await outcome(read(Buffer.from('plain'), { 'content-encoding': 'gzip' })), 'INVALID_REQUEST')
  assert.equal(await outcome(read(whole.subarray(0, -4), { 'content-encoding': 'gzip' })), 'INVALID_REQUEST')
  assert.equal(await outcome(read(whole, { 'content-encoding': 'zpaq' })), 'UNSUPPORTED_MEDIA_TYPE')
  assert.equal(await outcome(read(whole, { 'content-encoding': 'gzip, gzip' })), 'UNSUPPORTED_MEDIA_TYPE')
  assert.equal(await outcome(read(Buffer.from('plain'), { 'content-encoding': 'identity' })), 5)
})

test('a body that breaks off is refused', async () => {
  const broken = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.error(new Error('connection reset'))
    },
  })
  assert.equal(await outcome(read(streamSource(broken))), 'INVALID_REQUEST')
})

test('the bytes that are answered are nobody else’s', async () => {
  const sent = new Uint8Array([1, 2, 3])
  const one = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(sent)
      controller.close()
    },
  })
  const body = await read(streamSource(one))
  assert.ok(body.ok)
  body.bytes[0] = 9
  assert.equal(sent[0], 1)
})
