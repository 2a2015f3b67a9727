/** The stores that the suites run on: tables and buckets of their own on the engines that run.ts has started. */
import { randomBytes } from 'node:crypto'
import { after } from 'node:test'
import { CreateTableCommand, DeleteTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb'
import { CreateBucketCommand, DeleteBucketCommand, S3Client } from '@aws-sdk/client-s3'
import type { RequestHandler, ServiceOptions } from '../../lib/adapters/aws/aws-client.ts'
import type { DynamoDbMetadataOptions } from '../../lib/adapters/aws/dynamodb-metadata.ts'
import { DynamoDbMetadata } from '../../lib/adapters/aws/dynamodb-metadata.ts'
import { S3Objects } from '../../lib/adapters/aws/s3-objects.ts'
import type { Engine, Engines } from './engines.ts'
import { enginesVariable } from './engines.ts'

const given = process.env[enginesVariable]
if (given === undefined) throw new Error('these suites are run by `npm run test:aws`, which starts what they need')
export const engines = JSON.parse(given) as Engines

/** Those that run everything. */
export const fastEngines: Engines = {
  s3: engines.s3.filter(({ isSlow }) => isSlow !== true),
  dynamodb: engines.dynamodb.filter(({ isSlow }) => isSlow !== true),
}

/** Pairs of engines for what needs both services: every engine for DynamoDB once, with its own S3 where it has one. */
export const pairs: readonly { readonly s3: Engine; readonly dynamodb: Engine }[] = fastEngines.dynamodb.flatMap(
  (dynamodb) => {
    const s3 = fastEngines.s3.find(({ endpoint }) => endpoint === dynamodb.endpoint) ?? fastEngines.s3[0]
    return s3 === undefined ? [] : [{ s3, dynamodb }]
  },
)

const forNobody = { accessKeyId: 'test', secretAccessKey: 'test' }
const { AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_REGION = process.env.AWS_DEFAULT_REGION ?? 'us-east-1' } = process.env

/** Credentials of the environment go to the user's own endpoint only. */
export function serviceOf(engine: Engine): ServiceOptions {
  const isSigned = engine.isTheUsers === true && (AWS_ACCESS_KEY_ID ?? AWS_PROFILE) !== undefined
  return { region: AWS_REGION, endpoint: engine.endpoint, ...(!isSigned && { credentials: forNobody }) }
}

export interface Store<Adapter, Options = ServiceOptions> {
  readonly name: string
  /** Another adapter over the same bucket or table, closed with it. */
  open(options?: Partial<Options>): Adapter
  delete(): Promise<void>
}

/** A table as the stack makes one, as far as a store is concerned. */
export async function createTable(engine: Engine, name: string): Promise<void> {
  const admin = new DynamoDBClient(serviceOf(engine))
  await admin.send(
    new CreateTableCommand({
      TableName: name,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
    }),
  )
  await waitUntilTableExists({ client: admin, maxWaitTime: 120, minDelay: 1 }, { TableName: name })
  admin.destroy()
}

export async function newTable(engine: Engine): Promise<Store<DynamoDbMetadata, DynamoDbMetadataOptions>> {
  const name = `highwater-test-${randomBytes(6).toString('hex')}`
  await createTable(engine, name)
  const opened: DynamoDbMetadata[] = []
  return {
    name,
    open(options) {
      const metadata = new DynamoDbMetadata({ ...serviceOf(engine), ...options, table: name })
      opened.push(metadata)
      return metadata
    },
    async delete() {
      for (const metadata of opened) metadata.close()
      const admin = new DynamoDBClient(serviceOf(engine))
      await admin.send(new DeleteTableCommand({ TableName: name }))
      admin.destroy()
    },
  }
}

export async function newBucket(engine: Engine): Promise<Store<S3Objects>> {
  const name = `highwater-test-${randomBytes(6).toString('hex')}`
  const admin = new S3Client({ ...serviceOf(engine), forcePathStyle: true })
  await admin.send(new CreateBucketCommand({ Bucket: name }))
  const opened: S3Objects[] = []
  const open = (options?: Partial<ServiceOptions>) => {
    const objects = new S3Objects({ ...serviceOf(engine), ...options, bucket: name })
    opened.push(objects)
    return objects
  }
  return {
    name,
    open,
    async delete() {
      const objects = open()
      for (const { key } of await objects.list('', undefined, 100_000)) await objects.delete(key)
      for (const each of opened) each.close()
      await admin.send(new DeleteBucketCommand({ Bucket: name }))
      admin.destroy()
    },
  }
}

/** One store for all tests of a file, made when the first asks. */
export function shared<Of extends Store<unknown, never>>(make: () => Promise<Of>): () => Promise<Of> {
  let store: Promise<Of> | undefined
  after(async () => (await store)?.delete())
  return () => {
    store ??= make()
    return store
  }
}

/** What the SDK itself sends requests with. */
export function networkOf(engine: Engine): RequestHandler {
  return new DynamoDBClient({ ...serviceOf(engine), requestHandler: { httpAgent: { keepAlive: true } } }).config
    .requestHandler as RequestHandler
}
