/**
 * The catalogue of errors: one place where each code says its HTTP status, the number the Kafka REST conventions give it,
 * Kafka's own number, whether a retry can help, whether it may have had an effect, and what to do. Server, client and docs
 * read this table; nothing is listed twice.
 *
 * Sources: Kafka's protocol error table (`kafkaCode`, -1 where Kafka has none); Confluent REST Proxy v2 and v3 (`restCode`,
 * whose first three digits are the status).
 */

export interface ErrorEntry {
  readonly status: number
  readonly restCode: number
  readonly kafkaCode: number
  /** Can the same request succeed later? */
  readonly retriable: boolean
  /** `possible`: the write may have happened although it was answered with this error. */
  readonly effects: 'none' | 'possible'
  readonly whatToDo: string
}

export const errorCatalogue = {
  UNKNOWN_TOPIC: {
    status: 404,
    restCode: 40401,
    kafkaCode: 3,
    retriable: false,
    effects: 'none',
    whatToDo: 'Create the topic, or check its name.',
  },
  UNKNOWN_PARTITION: {
    status: 404,
    restCode: 40402,
    kafkaCode: 3,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a partition from 0 to the partition count minus 1.',
  },
  UNKNOWN_CONFIG: {
    status: 404,
    restCode: 40403,
    kafkaCode: 40,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use one of the documented topic configs.',
  },
  NOT_FOUND: {
    status: 404,
    restCode: 404,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Check the path against the OpenAPI document.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    restCode: 405,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a method that the Allow header names.',
  },
  NOT_ACCEPTABLE: {
    status: 406,
    restCode: 406,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Accept one of the media types that the message names.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    restCode: 415,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Send one of the media types that the message names.',
  },
  TOPIC_ALREADY_EXISTS: {
    status: 400,
    restCode: 40002,
    kafkaCode: 36,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use the topic that exists, or another name.',
  },
  INVALID_TOPIC: {
    status: 400,
    restCode: 40002,
    kafkaCode: 17,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a name of 1 to 249 ASCII letters, digits, ".", "_" and "-".',
  },
  INVALID_PARTITIONS: {
    status: 400,
    restCode: 40002,
    kafkaCode: 37,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a partition count within the limit, and never fewer than there are.',
  },
  INVALID_CONFIG: {
    status: 400,
    restCode: 40002,
    kafkaCode: 40,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a value of the type and range that the message names.',
  },
  INVALID_GROUP_ID: {
    status: 400,
    restCode: 40002,
    kafkaCode: 24,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a group name of 1 to 255 characters without control characters.',
  },
  GROUP_ID_NOT_FOUND: {
    status: 404,
    restCode: 40405,
    kafkaCode: 69,
    retriable: false,
    effects: 'none',
    whatToDo: 'Check the name of the consumer group; it exists from its first member or commit on.',
  },
  NON_EMPTY_GROUP: {
    status: 409,
    restCode: 40903,
    kafkaCode: 68,
    retriable: false,
    effects: 'none',
    whatToDo: 'Stop the members of the group first.',
  },
  GROUP_SUBSCRIBED_TO_TOPIC: {
    status: 409,
    restCode: 40903,
    kafkaCode: 86,
    retriable: false,
    effects: 'none',
    whatToDo: 'Stop the members that subscribe to this topic first.',
  },
  UNKNOWN_MEMBER_ID: {
    status: 404,
    restCode: 40403,
    kafkaCode: 25,
    retriable: false,
    effects: 'none',
    whatToDo: 'Join again under another member id: this one left, or was evicted.',
  },
  FENCED_INSTANCE_ID: {
    status: 409,
    restCode: 40903,
    kafkaCode: 82,
    retriable: false,
    effects: 'none',
    whatToDo: 'Stop: another member has joined under the same instance id.',
  },
  FENCED_CLAIM: {
    status: 409,
    restCode: 40903,
    kafkaCode: 22,
    retriable: false,
    // A commit that the store applied twice, with the claim of another in between, is refused though it counted.
    effects: 'possible',
    whatToDo: 'Go on without this partition: another member has taken it over. The next heartbeat says what to do.',
  },
  GROUP_MAX_SIZE_REACHED: {
    status: 429,
    restCode: 42901,
    kafkaCode: 81,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use fewer members, or another group.',
  },
  GROUP_LIMIT_REACHED: {
    status: 429,
    restCode: 42902,
    kafkaCode: 44,
    retriable: false,
    effects: 'none',
    whatToDo:
      'Delete groups or instances that nobody needs, subscribe to fewer topics, or raise the limit that the message names.',
  },
  INVALID_SESSION_TIMEOUT: {
    status: 422,
    restCode: 42204,
    kafkaCode: 26,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a session timeout within the range that the message names.',
  },
  INVALID_SUBSCRIPTION: {
    status: 422,
    restCode: 42204,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Correct the topics or the pattern as the message says.',
  },
  OFFSET_METADATA_TOO_LARGE: {
    status: 422,
    restCode: 422,
    kafkaCode: 12,
    retriable: false,
    effects: 'none',
    whatToDo: 'Commit with shorter metadata.',
  },
  INVALID_CONSUMER_CONFIG: {
    status: 422,
    restCode: 42204,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Correct the configuration of the consumer instance as the message says.',
  },
  UNKNOWN_CONSUMER_INSTANCE: {
    status: 404,
    restCode: 40403,
    kafkaCode: 25,
    retriable: false,
    effects: 'none',
    whatToDo: 'Create the consumer instance again: it was deleted, or sent nothing for too long.',
  },
  CONSUMER_ALREADY_SUBSCRIBED: {
    status: 409,
    restCode: 40901,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Unsubscribe first.',
  },
  CONSUMER_ALREADY_EXISTS: {
    status: 409,
    restCode: 40902,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use the instance that exists, or another name.',
  },
  ILLEGAL_STATE: {
    status: 409,
    restCode: 40903,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Subscribe to topics, or to a pattern, or assign partitions; and name only partitions that are assigned.',
  },
  CONSUMER_FORMAT_MISMATCH: {
    status: 406,
    restCode: 40601,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Accept the format that the consumer instance was created with.',
  },
  INVALID_REQUEST: {
    status: 400,
    restCode: 400,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Correct the request as the message says.',
  },
  INVALID_PAYLOAD: {
    status: 422,
    restCode: 422,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Correct the body as the message says.',
  },
  EMPTY_PAYLOAD: {
    status: 422,
    restCode: 42206,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Send a body.',
  },
  INVALID_BATCH: {
    status: 422,
    restCode: 42208,
    kafkaCode: 42,
    retriable: false,
    effects: 'none',
    whatToDo: 'Give every entry of records:batch a distinct id, and keep within the number of entries.',
  },
  CORRUPT_MESSAGE: {
    status: 422,
    restCode: 42206,
    kafkaCode: 2,
    retriable: false,
    effects: 'none',
    whatToDo: 'Encode the batch again; its bytes were damaged.',
  },
  INVALID_RECORD: {
    status: 422,
    restCode: 42206,
    kafkaCode: 87,
    retriable: false,
    effects: 'none',
    whatToDo: 'Correct the record that the message names.',
  },
  INVALID_TIMESTAMP: {
    status: 422,
    restCode: 42206,
    kafkaCode: 32,
    retriable: false,
    effects: 'none',
    whatToDo: "Send a timestamp within the topic's limits.",
  },
  UNSUPPORTED_COMPRESSION_TYPE: {
    status: 422,
    restCode: 42206,
    kafkaCode: 76,
    retriable: false,
    effects: 'none',
    whatToDo: 'Compress with gzip, snappy, lz4 or zstd, or not at all.',
  },
  MESSAGE_TOO_LARGE: {
    status: 413,
    restCode: 413,
    kafkaCode: 10,
    retriable: false,
    effects: 'none',
    whatToDo: "Send smaller batches, or raise the topic's max.message.bytes.",
  },
  REQUEST_TOO_LARGE: {
    status: 413,
    restCode: 413,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Send fewer records per request.',
  },
  OFFSET_OUT_OF_RANGE: {
    status: 416,
    restCode: 416,
    kafkaCode: 1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Read from an offset within the range that the message names.',
  },
  DUPLICATE_SEQUENCE_NUMBER: {
    status: 409,
    restCode: 409,
    kafkaCode: 46,
    retriable: false,
    effects: 'possible',
    whatToDo: 'Nothing: the batch was committed before, longer ago than its offset is remembered.',
  },
  OUT_OF_ORDER_SEQUENCE_NUMBER: {
    status: 409,
    restCode: 409,
    kafkaCode: 45,
    retriable: true,
    effects: 'none',
    whatToDo: 'Send the batches in between first; the answer names the sequence that is expected.',
  },
  INVALID_PRODUCER_EPOCH: {
    status: 403,
    restCode: 40301,
    kafkaCode: 47,
    retriable: false,
    effects: 'none',
    whatToDo: 'Stop: a newer instance of this producer has taken over.',
  },
  UNKNOWN_PRODUCER_ID: {
    status: 409,
    restCode: 409,
    kafkaCode: 59,
    retriable: false,
    effects: 'none',
    whatToDo: 'Take a new producer id and begin with sequence 0; what was not acknowledged may have been committed.',
  },
  UNEXPECTED_END_OFFSET: {
    status: 412,
    restCode: 412,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Read what was appended since, decide again, and name the present end offset.',
  },
  FENCED_LEADER_EPOCH: {
    status: 409,
    restCode: 409,
    kafkaCode: 74,
    retriable: true,
    effects: 'none',
    whatToDo: 'Another process leads this partition exclusively; send the append there, or try again.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    restCode: 422,
    kafkaCode: -1,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a fresh Idempotency-Key for a request with another content.',
  },
  AUTHENTICATION_FAILED: {
    status: 401,
    restCode: 40101,
    kafkaCode: 58,
    retriable: false,
    effects: 'none',
    whatToDo: 'Send an API key that is valid; a new one takes a key that allows admin.',
  },
  AUTHORIZATION_FAILED: {
    status: 403,
    restCode: 40301,
    kafkaCode: 31,
    retriable: false,
    effects: 'none',
    whatToDo: 'Use a key that allows what the message names.',
  },
  TOO_MANY_REQUESTS: {
    status: 429,
    restCode: 429,
    kafkaCode: 89,
    retriable: true,
    effects: 'none',
    whatToDo: 'Wait as long as Retry-After says, then send again.',
  },
  STORAGE_FULL: {
    status: 507,
    restCode: 50701,
    kafkaCode: 56,
    retriable: true,
    effects: 'none',
    whatToDo: 'Free space on the disk of the data directory; nothing was written.',
  },
  STORAGE_UNAVAILABLE: {
    status: 503,
    restCode: 50301,
    kafkaCode: 56,
    retriable: true,
    effects: 'none',
    whatToDo: 'Try again; nothing was written.',
  },
  OUTCOME_UNKNOWN: {
    status: 504,
    restCode: 50401,
    kafkaCode: 7,
    retriable: false,
    effects: 'possible',
    whatToDo: "Read the partition's end before sending again, or use an idempotent producer, whose retry is safe.",
  },
  SHUTTING_DOWN: {
    status: 503,
    restCode: 50302,
    kafkaCode: 8,
    retriable: true,
    effects: 'none',
    whatToDo: 'Try again; the server is stopping.',
  },
  INTERNAL: {
    status: 500,
    restCode: 50002,
    kafkaCode: -1,
    retriable: false,
    effects: 'possible',
    whatToDo: 'Report it with the request id; this is a fault of Highwater.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorCatalogue

/** An expected outcome that is not success: a code and a sentence that names what, where and what is expected. */
export interface Refusal {
  readonly ok: false
  readonly code: ErrorCode
  readonly message: string
  /** What the loser needs to go on, by code. */
  readonly details?: RefusalDetails
}

export interface RefusalDetails {
  /** OFFSET_OUT_OF_RANGE: the range that can be read, end exclusive. UNEXPECTED_END_OFFSET: the end offset is `endOffset`. */
  readonly startOffset?: number
  readonly endOffset?: number
  /** OUT_OF_ORDER_SEQUENCE_NUMBER. */
  readonly expectedSequence?: number
  /** DUPLICATE_SEQUENCE_NUMBER: the last sequence that was committed. */
  readonly lastSequence?: number
  /** INVALID_PRODUCER_EPOCH, FENCED_LEADER_EPOCH: the epoch that is in force. */
  readonly epoch?: number
  /** TOO_MANY_REQUESTS and other retriable codes: when to try again. */
  readonly retryAfterMs?: number
}

export function refusal(code: ErrorCode, message: string, details?: RefusalDetails): Refusal {
  return details === undefined ? { ok: false, code, message } : { ok: false, code, message, details }
}

/** The world failed. `effects` says whether the call may have done its work; `why` is for choosing a code. */
export class Unavailable extends Error {
  readonly effects: 'none' | 'possible'
  readonly why: 'full' | 'throttled' | 'failed' | 'timeout' | 'closed'
  constructor(
    message: string,
    effects: 'none' | 'possible',
    why: 'full' | 'throttled' | 'failed' | 'timeout' | 'closed' = 'failed',
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'Unavailable'
    this.effects = effects
    this.why = why
  }
}
