/** What a command sees of the world: streams, environment, a signal to stop. Handed in by functions/, and by tests. */
import type { Readable, Writable } from 'node:stream'
import type { AwsCredentials } from '../client/aws.ts'
import type { ApiKey, NewApiKey } from '../core/api-key.ts'
import type { Refusal } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { VerifiedLeftovers, VerifiedPiece, VerifiedTopics } from '../core/verify-rule.ts'

export interface CliIo {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted by the first Ctrl-C: commands finish what they have begun and return. */
  readonly signal: AbortSignal
  /** Is standard error a terminal that somebody watches? @default false */
  readonly isStderrTty?: boolean
  /** @default globalThis.fetch */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>
  /** Those of the environment, a profile or a role, for signing; rejects where there are none. Called for every request. */
  readonly awsCredentials?: () => Promise<AwsCredentials>
}

/** What `start` needs of a server. */
export interface StartServerOptions {
  readonly host: string
  readonly port: number
  /** Without this and `aws`: in memory. */
  readonly dataDir?: string
  /** The bucket and the table of a log that other processes may serve, too. */
  readonly aws?: { readonly bucket: string; readonly table: string }
  readonly settings: Partial<Settings>
  readonly requireKeys?: boolean
  readonly cors?: readonly string[]
  readonly publicUrl?: string
}

/** Where the keys of a log are kept: in its table, or in its data directory. */
export type KeyStorePlace = { readonly table: string } | { readonly dataDir: string }

/** API keys without a server. */
export interface KeyStore {
  create(request: NewApiKey): Promise<{ readonly ok: true; readonly key: ApiKey; readonly token: string } | Refusal>
  list(): Promise<readonly ApiKey[]>
  revoke(id: string): Promise<{ readonly ok: true } | Refusal>
  close(): Promise<void>
}

/** Where a log is that is verified without a server. */
export type VerifyPlace = { readonly dataDir: string } | { readonly bucket: string; readonly table: string }

type Verified<Value> = Promise<
  ({ readonly ok: true } & Value) | { readonly ok: false; readonly code: string; readonly message: string }
>

/** Who looks for damage: a server, or the log's own code straight on the stores. */
export interface VerifySource {
  topics(after?: string): Verified<VerifiedTopics>
  partition(
    topic: string,
    partition: number,
    options: { readonly cursor?: string; readonly isDeep?: boolean },
  ): Verified<VerifiedPiece>
  leftovers(): Verified<VerifiedLeftovers>
  close(): Promise<void>
}

export interface RunningServer {
  readonly url: string
  close(): Promise<void>
}

/** A copy of a data directory. */
export interface BackedUp {
  readonly objects: number
  readonly objectsCopied: number
  readonly bytesCopied: number
  readonly metadataBytes: number
}

/** What functions/ gives besides the streams. */
export interface CliGiven {
  readonly version: string
  /** An Error named `StartError` is for the user; its message is one sentence. */
  startServer(options: StartServerOptions): Promise<RunningServer>
  /** The same for this one. */
  openKeys(place: KeyStorePlace): Promise<KeyStore>
  /** The same for this one. */
  openVerifier(place: VerifyPlace): Promise<VerifySource>
  /** And for this. */
  backUp(dataDir: string, to: string): Promise<BackedUp>
}

/** A command that cannot go on, for a reason that the user can do something about: one sentence. */
export class CliError extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode: number = exitCodes.failure) {
    super(message)
    this.name = 'CliError'
    this.exitCode = exitCode
  }
}

export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** `verify` could not do its work; 1 is damage. */
  unverified: 2,
  /** What a shell reports of a process that Ctrl-C ended; here: input was left unread. */
  interrupted: 130,
} as const

/**
 * A stream that is written with back-pressure. Who reads it may go away (`| head`): then `closed` aborts, and writing does
 * nothing more.
 */
export class Output {
  readonly #stream: Writable
  readonly #closed = new AbortController()
  #failure: Error | undefined

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') this.#failure ??= error
      this.#closed.abort()
    })
    stream.on('close', () => this.#closed.abort())
  }

  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Resolves when more may be written. */
  async write(chunk: string | Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#closed.signal.aborted || chunk.length === 0 || this.#stream.write(chunk)) return
    await new Promise<void>((resolve) => {
      const finish = () => {
        this.#stream.off('drain', finish)
        this.#closed.signal.removeEventListener('abort', finish)
        resolve()
      }
      this.#stream.once('drain', finish)
      this.#closed.signal.addEventListener('abort', finish)
    })
  }

  /** Resolves when what was written has left this process, or nobody wants it. */
  async flush(): Promise<void> {
    if (this.#closed.signal.aborted || this.#stream.writableLength === 0) return
    await new Promise<void>((resolve) => {
      this.#closed.signal.addEventListener('abort', () => resolve())
      this.#stream.write('', () => resolve())
    })
  }
}
