/**
 * Servers on node:http that do only what cannot be left out:
 *
 *     POST /read     read the body
 *     POST /parse    read the body and JSON.parse it
 *     POST /store    read the body, checksum it, write it with up to three others to a new file, sync, answer; two files at once
 *     POST /sync     read the body, append it to a file, sync, answer; what comes meanwhile shares the next sync
 *     GET  /bytes    read 1 MiB of a file and send it
 *     GET  /json     JSON.stringify of an answer that was set before
 */
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { nativeCodecs } from '../../lib/adapters/codecs-native.ts'
import { answerCalls } from './child.ts'

const directory = process.argv[2] ?? ''
const answerBytes = 1_048_576
const journal = directory === '' ? undefined : await open(`${directory}/journal`, 'a')
const data = directory === '' ? undefined : await open(`${directory}/data`, 'a+')
let dataBytes = 0
let toStringify: unknown
let waiting: { readonly body: Buffer; readonly answer: () => void }[] = []
let isWriting = false
const toStore: typeof waiting = []
let filesUnderWay = 0
let filesWritten = 0

const server = createServer(async (request, response) => {
  switch (request.url) {
    case '/read':
      request.on('data', () => {})
      request.on('end', () => reply(response, '{}'))
      return
    case '/parse': {
      const parsed = JSON.parse((await bodyOf(request)).toString()) as { records: unknown[] }
      reply(response, `{"count":${parsed.records.length}}`)
      return
    }
    case '/store': {
      const body = await bodyOf(request)
      nativeCodecs.crc32c(body)
      toStore.push({ body, answer: () => reply(response, '{}') })
      void store()
      return
    }
    case '/sync': {
      const body = await bodyOf(request)
      waiting.push({ body, answer: () => reply(response, '{}') })
      if (!isWriting) void write()
      return
    }
    case '/bytes': {
      const at = Math.floor(Math.random() * (dataBytes / answerBytes - 1)) * answerBytes
      const { buffer } = await data!.read(Buffer.allocUnsafeSlow(answerBytes), 0, answerBytes, at)
      reply(response, buffer)
      return
    }
    case '/json':
      reply(response, JSON.stringify(toStringify))
      return
    default:
      response.writeHead(404, { 'content-length': 0 }).end()
  }
})

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function reply(response: ServerResponse, body: string | Buffer): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

async function write(): Promise<void> {
  isWriting = true
  while (waiting.length > 0) {
    const group = waiting
    waiting = []
    await journal!.writev(group.map(({ body }) => body))
    await journal!.sync()
    for (const { answer } of group) answer()
  }
  isWriting = false
}

async function store(): Promise<void> {
  if (filesUnderWay >= 2 || toStore.length === 0) return
  const group = toStore.splice(0, 4)
  filesUnderWay++
  const file = await open(`${directory}/stored-${filesWritten++}`, 'wx')
  await file.writev(group.map(({ body }) => body))
  await file.sync()
  await file.close()
  filesUnderWay--
  for (const { answer } of group) answer()
  void store()
}

await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
answerCalls({
  port: () => (server.address() as AddressInfo).port,
  async fill(bytes: number) {
    for (; dataBytes < bytes; dataBytes += answerBytes) await data!.write(Buffer.alloc(answerBytes, 7))
  },
  setAnswer(text: string) {
    toStringify = JSON.parse(text)
  },
})
