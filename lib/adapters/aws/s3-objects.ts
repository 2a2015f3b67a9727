/**
 * Objects in one S3 bucket. A creation is one PutObject with `If-None-Match: *`: durable when answered (D1), and never over
 * an object that is there. S3 answers 412 where there is one, which may be our own of an attempt whose answer was lost: the
 * caller knows whether there was such an attempt, so nothing is repeated here that may have taken effect (D4).
 */
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Unavailable } from '../../core/errors.ts'
import type { ObjectEntry, Objects } from '../../ports.ts'
import type { ServiceOptions } from './aws-client.ts'
import { clientConfig, readAttemptsMax } from './aws-client.ts'
import { attempted, translated } from './aws-errors.ts'

export interface S3ObjectsOptions extends ServiceOptions {
  readonly bucket: string
}

/** An object of tens of megabytes on a slow line; a lost answer of a small one is noticed by the caller's own deadline. */
const requestTimeoutMsDefault = 20_000
/** The most S3 lists in one answer. */
const listKeysMax = 1_000
/** Parts below this are gathered into one write of about `writeBytes`; larger ones are sent as they lie. */
const partBytesToCopy = 16 * 1024
const writeBytes = 64 * 1024

/** The SDK warns on the console of every refused body that is a stream, since it cannot send it again. It is not meant to. */
const silent = { debug() {}, info() {}, warn() {}, error() {} }

export class S3Objects implements Objects {
  readonly #bucket: string
  /** Sends once. */
  readonly #creations: S3Client
  readonly #client: S3Client

  constructor(options: S3ObjectsOptions) {
    this.#bucket = options.bucket
    const config = {
      ...clientConfig(options, requestTimeoutMsDefault),
      // An endpoint of one's own rarely has a name for each bucket.
      forcePathStyle: options.endpoint !== undefined,
      // Waiting for "100 Continue" would cost a round trip, and the SDK opens a connection for each such request.
      expectContinueHeader: false,
      // The checksum of a whole object says nothing about a range of it; chunks carry their own.
      responseChecksumValidation: 'WHEN_REQUIRED',
    } as const
    this.#client = new S3Client({ ...config, maxAttempts: readAttemptsMax })
    this.#creations = new S3Client({
      ...config,
      requestHandler: this.#client.config.requestHandler,
      maxAttempts: 1,
      logger: silent,
    })
  }

  async create(key: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    let sizeBytes = 0
    let checksum = 0
    for (const part of parts) {
      sizeBytes += part.length
      checksum = crc32(part, checksum)
    }
    const request = {
      Bucket: this.#bucket,
      Key: key,
      IfNoneMatch: '*',
      ContentLength: sizeBytes,
      // Ours, so that the SDK neither reads the parts twice nor sends them in its own framing.
      ChecksumCRC32: base64OfUint32(checksum),
    }
    try {
      // A conflict, 409, is a creation that raced: whoever asks again learns who won.
      await attempted(() =>
        this.#creations.send(new PutObjectCommand({ ...request, Body: Readable.from(writes(parts)) })),
      )
      return 'created'
    } catch (error) {
      if (isNamed(error, 'PreconditionFailed')) return 'exists'
      throw translated('S3 PutObject', 'write', error)
    }
  }

  async read(key: string, position: number, length: number): Promise<Uint8Array | undefined> {
    // There is no range of no bytes.
    const range = position < 0 ? `${position}` : `${position}-${position + Math.max(length, 1) - 1}`
    try {
      const answer = await this.#client.send(
        new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range: `bytes=${range}` }),
      )
      if (position >= 0 && answer.ContentRange?.startsWith(`bytes ${position}-`) !== true)
        throw new Unavailable('S3 GetObject answered another range than was asked for', 'none')
      const bytes = (await answer.Body?.transformToByteArray()) ?? new Uint8Array()
      if (bytes.length !== answer.ContentLength)
        throw new Unavailable(`S3 GetObject ended after ${bytes.length} of ${answer.ContentLength} bytes`, 'none')
      return new Uint8Array(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, length))
    } catch (error) {
      if (isNamed(error, 'NoSuchKey')) return undefined
      // The object is there and ends before `position`.
      if (isNamed(error, 'InvalidRange')) return new Uint8Array()
      throw translated('S3 GetObject', 'read', error)
    }
  }

  async list(prefix: string, after: string | undefined, limit: number): Promise<readonly ObjectEntry[]> {
    const entries: ObjectEntry[] = []
    let token: string | undefined
    while (entries.length < limit) {
      const request = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: prefix,
        MaxKeys: Math.min(limit - entries.length, listKeysMax),
        // A token holds the place; the first page begins behind `after`.
        ...(token !== undefined ? { ContinuationToken: token } : after !== undefined && { StartAfter: after }),
      })
      const page = await this.#client.send(request).catch((error: unknown) => {
        throw translated('S3 ListObjectsV2', 'read', error)
      })
      for (const { Key: key, Size: sizeBytes } of page.Contents ?? [])
        if (key !== undefined && sizeBytes !== undefined) entries.push({ key, sizeBytes })
      token = page.NextContinuationToken
      if (page.IsTruncated !== true || token === undefined) break
    }
    return entries
  }

  async delete(key: string): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }))
    } catch (error) {
      throw translated('S3 DeleteObject', 'write', error)
    }
  }

  /** Closes the connections. */
  close(): void {
    this.#client.destroy()
    this.#creations.destroy()
  }
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name
}

/** The content in writes of a reasonable size: what is small is copied together, what is large is never copied. */
function* writes(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  for (const part of parts) {
    const isLarge = part.length >= partBytesToCopy
    if (gatheredBytes > 0 && (isLarge || gatheredBytes + part.length > writeBytes)) {
      yield Buffer.concat(gathered)
      gathered = []
      gatheredBytes = 0
    }
    if (isLarge) yield part
    else if (part.length > 0) {
      gathered.push(part)
      gatheredBytes += part.length
    }
  }
  if (gatheredBytes > 0) yield Buffer.concat(gathered)
}

function base64OfUint32(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes.toString('base64')
}
