/** The functions' bundles, made as they are for a deployment. */
import { join } from 'node:path'
import { type BuildResult, build, type Metafile } from 'esbuild'
import { type BundledName, esbuildOptions, esbuildOptionsOf } from '../../infra/bundling.ts'

const root = join(import.meta.dirname, '..', '..')

export const functionNames: readonly BundledName[] = [
  'produce',
  'fetch',
  'consume',
  'admin',
  'maintain',
  'merge',
  'sweep',
  'verify',
  'authorize',
  'web',
]

export interface Bundle {
  readonly code: string
  readonly sourceMap: string
  readonly sizeBytes: number
  /** Of this repository, by path; and packages, by name. */
  readonly modules: ReadonlySet<string>
  /** What is left to be imported when it runs. */
  readonly imports: readonly string[]
}

export async function bundleFunction(name: BundledName): Promise<Bundle> {
  return bundleOf(await build({ ...esbuildOptionsOf(name), ...made }))
}

/** The SDK's two clients and nothing else, as anybody would bundle them. */
export async function bundleSdk(): Promise<Bundle> {
  const contents = `
    import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
    import { S3Client } from '@aws-sdk/client-s3'
    const clients = [new S3Client({}), new DynamoDBClient({})]
    export const handler = async () => clients.length`
  return bundleOf(await build({ ...esbuildOptions, stdin: { contents, resolveDir: root, loader: 'ts' }, ...made }))
}

const made = { write: false, metafile: true, outdir: 'out', absWorkingDir: root, logLevel: 'error' } as const

function bundleOf({ outputFiles, metafile }: BuildResult<typeof made>): Bundle {
  const file = outputFiles.find(({ path }) => path.endsWith('.js'))
  const [, output] = Object.entries(metafile.outputs).find(([path]) => path.endsWith('.js')) ?? []
  if (file === undefined || output === undefined) throw new Error('esbuild made no code')
  return {
    code: file.text,
    sourceMap: outputFiles.find(({ path }) => path.endsWith('.map'))?.text ?? '',
    sizeBytes: file.contents.byteLength,
    modules: new Set(usedModules(output)),
    imports: output.imports.map(({ path }) => path),
  }
}

/** Inputs of which something is left after what nobody uses was dropped. */
function usedModules({ inputs }: Metafile['outputs'][string]): string[] {
  return Object.entries(inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => {
      const [, inPackage] = path.split(/.*node_modules\//)
      return inPackage === undefined ? path : (/^(?:@[^/]+\/)?[^/]+/.exec(inPackage)?.[0] ?? path)
    })
}
