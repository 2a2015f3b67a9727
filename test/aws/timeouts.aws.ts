/** Servers that do not answer, and the SDK's own timers; needs no engine. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { DynamoDbMetadata } from '../../lib/adapters/aws/dynamodb-metadata.ts'
import { S3Objects } from '../../lib/adapters/aws/s3-objects.ts'
import { Unavailable } from '../../lib/core/errors.ts'
import { append, newKey } from '../conformance/metadata-fixture.ts'

const client = { region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
const requestTimeoutMs = 150

/** A server that does `answer` with each connection. Counts the requests that begin. */
async function server(
  answer: (socket: Socket) => void,
): Promise<{ endpoint: string; requests(): number; close(): void }> {
  let requests = 0
  const sockets = new Set<Socket>()
  const listening = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      if (!/^(GET|PUT|POST) /.test(data.toString('latin1'))) return
      requests++
      answer(socket)
    })
  }).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const address = listening.address()
  assert.ok(address !== null && typeof address === 'object')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    requests: () => requests,
    close() {
      for (const socket of sockets) socket.destroy()
      listening.close()
    },
  }
}

for (const [what, answer, why] of [
  ['says nothing', () => {}, 'timeout'],
  ['cuts the connection', (socket: Socket) => socket.destroy(), 'failed'],
  [
    'stops within its answer',
    (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"Attributes":'),
    'timeout',
  ],
] as const)
  test(`a server that ${what} is asked once to write, and the write may have had an effect`, async (t) => {
    const { endpoint, requests, close } = await server(answer)
    t.after(close)
    const metadata = new DynamoDbMetadata({ ...client, endpoint, requestTimeoutMs, table: 'any' })
    const startedMs = Date.now()
    await assert.rejects(metadata.updateHead(newKey(), append('a')), unavailable('possible', why))
    assert.ok(Date.now() - startedMs < 5_000)
    assert.equal(requests(), 1)
    metadata.close()
    if (what !== 'stops within its answer') {
      const objects = new S3Objects({ ...client, endpoint, requestTimeoutMs, bucket: 'any' })
      await assert.rejects(objects.create('a', [new Uint8Array(5_000_000)]), unavailable('possible', why))
      objects.close()
    }
  })

test('an object that stops coming is unavailable without effect', async (t) => {
  const { endpoint, close } = await server((socket) =>
    socket.write('HTTP/1.1 206 OK\r\ncontent-range: bytes 0-99/200\r\ncontent-length: 100\r\n\r\nonly this'),
  )
  t.after(close)
  const objects = new S3Objects({ ...client, endpoint, requestTimeoutMs, bucket: 'any' })
  await assert.rejects(objects.read('a', 0, 100), unavailable('none'))
  objects.close()
})

function unavailable(effects: string, why?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Unavailable, String(error))
    assert.equal(error.effects, effects, error.message)
    if (why !== undefined) assert.equal(error.why, why, error.message)
    return true
  }
}
