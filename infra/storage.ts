/**
 * What holds the data: a bucket of segments and a table of heads, rows and items. A construct of its own, with logical ids that
 * do not depend on what it is made of inside: CloudFormation replaces what changes its id, and this must never be replaced.
 */

import type { CfnResource } from 'aws-cdk-lib'
import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib'
import { AttributeType, BillingMode, type ITable, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb'
import { AnyPrincipal, Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { BlockPublicAccess, Bucket, BucketEncryption, type IBucket, ObjectOwnership } from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'

export interface HighwaterStorageProps {
  /**
   * Data goes with the stack, and nothing is protected from deletion.
   * @default false: retained and protected
   */
  readonly isDisposable?: boolean
  /**
   * What the pinned logical ids begin with: letters and digits. Must be kept for the life of the data.
   * @default the ids on the way from the stack to the construct that holds this one
   */
  readonly logicalIdPrefix?: string
  /**
   * Of a table in this account and region to work on instead of the one that is made here, which is kept: one that was restored.
   * @default the one that is made here
   */
  readonly restoredTableName?: string
  /**
   * Where S3 writes access logs of the bucket.
   * @default none: they cost a request per request, and the API's access log says who did what
   */
  readonly serverAccessLogs?: { readonly bucket: IBucket | Bucket; readonly prefix?: string }
}

/** How far back the table can be restored, the longest there is. */
export const recoveryDays = 35
/**
 * A deleted object can be had back for as long as a restored table may name it, and a day longer: lifecycle rules run once a
 * day, the table is restored to the second.
 */
export const deletedObjectDays = recoveryDays + 1

export class HighwaterStorage extends Construct {
  readonly bucket: Bucket
  /** The one that functions work on. */
  readonly table: Table | ITable
  /** The table's stream. A table that was restored has none until somebody turns it on. */
  readonly streamArn: string | undefined
  readonly isDisposable: boolean

  constructor(scope: Construct, id: string, props: HighwaterStorageProps = {}) {
    super(scope, id)
    const { isDisposable = false, logicalIdPrefix = prefixOf(scope), serverAccessLogs } = props
    this.isDisposable = isDisposable
    const removalPolicy = isDisposable ? RemovalPolicy.DESTROY : RemovalPolicy.RETAIN

    this.bucket = new Bucket(this, 'Segments', {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      versioned: true,
      lifecycleRules: [
        {
          id: 'deleted-objects',
          noncurrentVersionExpiration: Duration.days(deletedObjectDays),
          expiredObjectDeleteMarker: true,
        },
        { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(1) },
      ],
      removalPolicy,
      autoDeleteObjects: isDisposable,
      ...(serverAccessLogs === undefined
        ? {}
        : {
            serverAccessLogsBucket: serverAccessLogs.bucket as IBucket,
            ...(serverAccessLogs.prefix === undefined ? {} : { serverAccessLogsPrefix: serverAccessLogs.prefix }),
          }),
    })
    pin(this.bucket.node.defaultChild, `${logicalIdPrefix}Segments`)
    this.#keepSegments()
    // A retained bucket keeps its policy: otherwise `cdk destroy` would leave the data without its protection.
    this.bucket.policy?.applyRemovalPolicy(removalPolicy)
    pin(this.bucket.policy?.node.defaultChild, `${logicalIdPrefix}SegmentsPolicy`)
    if (serverAccessLogs === undefined)
      Validations.of(this.bucket).acknowledge({
        id: 'AwsSolutions-S1',
        reason:
          'Only the functions of this log read and write segments, and the access log of the API says for whom. A log line per object would cost as much as the request. `serverAccessLogs` turns it on.',
      })

    const table = new Table(this, 'Metadata', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true, recoveryPeriodInDays: recoveryDays },
      // Merges follow the rows that are put (merging.ts), and need no more than keys; who follows commits wants the high watermark
      // before and after. Another kind of view would be another stream. Functions read it for nothing.
      stream: StreamViewType.NEW_AND_OLD_IMAGES,
      deletionProtection: !isDisposable,
      removalPolicy,
    })
    pin(table.node.defaultChild, `${logicalIdPrefix}Metadata`)
    const { restoredTableName } = props
    this.table = restoredTableName === undefined ? table : Table.fromTableName(this, 'Restored', restoredTableName)
    this.streamArn = restoredTableName === undefined ? table.tableStreamArn : undefined
  }

  /** What no role's policy can undo, since a deny wins over every allow. */
  #keepSegments(): void {
    const segments = this.bucket.arnForObjects('segments/*')
    this.bucket.addToResourcePolicy(
      new PolicyStatement({
        sid: 'SegmentsAreWrittenOnce',
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ['s3:PutObject'],
        resources: [segments],
        // Starting an upload in parts, and the parts, have no such header; what completes it has.
        conditions: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
      }),
    )
    if (this.isDisposable) return
    this.bucket.addToResourcePolicy(
      new PolicyStatement({
        sid: 'SegmentsAreNotDeleted',
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ['s3:DeleteObjectVersion'],
        resources: [segments],
      }),
    )
    this.bucket.addToResourcePolicy(
      new PolicyStatement({
        sid: 'SegmentsAreSweptOnly',
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ['s3:DeleteObject'],
        resources: [segments],
        conditions: { StringNotEquals: { [`aws:PrincipalTag/${sweepTag.key}`]: sweepTag.value } },
      }),
    )
  }
}

/** Of the one role that may delete segments. What it deletes is kept as a version for as long as the table can be restored. */
export const sweepTag = { key: 'highwater:may', value: 'sweep' } as const

function pin(resource: unknown, logicalId: string): void {
  ;(resource as CfnResource).overrideLogicalId(logicalId)
}

/** The ids from below the stack down to `scope`; `Highwater` where the storage is the stack's own child. */
function prefixOf(scope: Construct): string {
  const ids = scope.node.scopes.slice(Stack.of(scope).node.scopes.length).map(({ node }) => node.id)
  return ids.join('').replaceAll(/[^A-Za-z0-9]/g, '') || 'Highwater'
}
