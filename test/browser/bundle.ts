/** The client as one file for a browser. */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Bundle {
  readonly code: string
  /** Files that went into it, relative to the repository. */
  readonly inputs: readonly string[]
  /** What is left to be imported when it runs. */
  readonly imports: readonly string[]
}

/** Fails where something is imported that no browser has. */
export async function bundleClient(entry = 'lib/client/highwater.ts'): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2024',
    metafile: true,
    write: false,
    logLevel: 'silent',
  })
  return {
    code: outputFiles[0]?.text ?? '',
    inputs: Object.keys(metafile.inputs),
    imports: Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path)),
  }
}
