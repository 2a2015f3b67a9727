/**
 * The settings of functions: what a deployment sets, and what an event function cannot be without. Pure, so that a
 * deployment can be checked before it is made.
 */
import { parseSettings, type Settings } from '../lib/core/settings.ts'

/**
 * The largest body of a request and of an answer. Lambda takes and gives 6 MB of JSON, in which a binary body is base64:
 * 4 MiB become 5.6 MB, which leaves room for headers.
 */
export const bodyBytesMax = 4 * 1_048_576

/** HTTP APIs give up on a function after 30 s; the answer has to be made, too. */
export const waitMsMax = 25_000

export type FunctionSettings =
  | { readonly ok: true; readonly settings: Settings }
  | { readonly ok: false; readonly message: string }

/**
 * @param overrides what the deployment sets
 * @param isStreaming answers leave through a function URL as a stream, where neither limit of answers holds
 */
export function functionSettings(overrides: Partial<Settings>, isStreaming = false): FunctionSettings {
  const parsed = parseSettings({
    ...overrides,
    // Other functions write, too: a waiting fetch has to look at the head.
    isSoleProcess: false,
    // One request at a time: there is nobody to wait for.
    lingerMs: 0,
  })
  if (!parsed.ok) return parsed
  const { appendBytesMax, fetchBytesMax, fetchWaitMsMax } = parsed.settings
  const failures: string[] = []
  if (appendBytesMax > bodyBytesMax)
    failures.push(`appendBytesMax is at most ${bodyBytesMax} in a function, not ${appendBytesMax}`)
  if (!isStreaming && fetchBytesMax > bodyBytesMax)
    failures.push(`fetchBytesMax is at most ${bodyBytesMax} behind an HTTP API, not ${fetchBytesMax}`)
  if (!isStreaming && fetchWaitMsMax > waitMsMax)
    failures.push(`fetchWaitMsMax is at most ${waitMsMax} behind an HTTP API, not ${fetchWaitMsMax}`)
  return failures.length === 0 ? parsed : { ok: false, message: `Invalid settings: ${failures.join('; ')}.` }
}
