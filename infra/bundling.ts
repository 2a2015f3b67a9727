/**
 * How a function becomes one file: the same options for what is deployed (`NodejsFunction`), what the tests look into, and
 * what the cold-start bench measures.
 *
 * The SDK is inside: a bundle of the few commands that are used loads faster than the runtime's own copy, and is the version
 * that was tested. Source maps stand beside the code, without the sources; Node reads them when a stack is printed
 * (NODE_OPTIONS=--enable-source-maps). Where credentials come from in an event function is known: functions/credentials.ts
 * stands for the SDK's search, which is a fifth of the bundle.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import type { BundlingOptions, OutputFormat, SourceMapMode } from 'aws-cdk-lib/aws-lambda-nodejs'
import type { BuildOptions } from 'esbuild'
import type { FunctionName as Measured } from '../functions/metrics.ts'
import { elsewhere } from '../lib/http/elsewhere.ts'
import { allRoutes } from '../lib/http/faces.ts'
import { describeRoutes } from '../lib/http/openapi.ts'
import { authorizeDefine } from './routes.ts'

export type BundledName = Measured | 'authorize'

/** What is left of CommonJS in the SDK's packages may ask for a built-in module when it is called. */
const banner = "import{createRequire as hwRequire}from'node:module';const require=hwRequire(import.meta.url);"
const mainFields = ['module', 'main']
const target = 'node24'
/** The licences of what is bundled are in its packages; nobody is given the bundle. */
const legalComments = 'none'
const root = join(import.meta.dirname, '..')

/** Packages that something else stands for. A Web Function is no event function: it has the SDK's own search. */
function aliasesOf(name: BundledName): Readonly<Record<string, string>> {
  if (name === 'web') return {}
  return { '@aws-sdk/credential-provider-node': join(root, 'functions', 'credentials.ts') }
}

/** What is known when a bundle is made and would take more room, or time, to find out when it runs. */
function definesOf(name: BundledName): Readonly<Record<string, string>> {
  switch (name) {
    case 'authorize':
      return authorizeDefine
    case 'admin':
      return {
        HIGHWATER_ROUTES_ELSEWHERE: JSON.stringify(
          allRoutes.filter((route) => route.work !== 'admin').map((route) => elsewhere(route)),
        ),
        HIGHWATER_OPENAPI: JSON.stringify(compressedDocument()),
      }
    default:
      return {}
  }
}

let document: string | undefined

/** Made once: it takes longer than all the rest of a template. */
function compressedDocument(): string {
  document ??= brotliCompressSync(openApiDocument()).toString('base64')
  return document
}

function openApiDocument(): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return JSON.stringify(describeRoutes(allRoutes, version))
}

/** For `NodejsFunction`. */
export function bundlingOf(name: BundledName): BundlingOptions {
  const aliases = Object.entries(aliasesOf(name)).map(([from, to]) => [`--alias:${from}`, to])
  return {
    target,
    mainFields,
    banner,
    format: 'esm' as OutputFormat.ESM,
    minify: true,
    sourceMap: true,
    sourceMapMode: 'default' as SourceMapMode.DEFAULT,
    sourcesContent: false,
    // Nothing is left to the runtime, its SDK neither.
    externalModules: [],
    bundleAwsSDK: true,
    define: { ...definesOf(name) },
    esbuildArgs: { '--legal-comments': legalComments, ...Object.fromEntries(aliases) },
    // On this machine: esbuild is a dependency of the project.
    forceDockerBundling: false,
  }
}

/** What every bundle is made with. */
export const esbuildOptions = {
  bundle: true,
  platform: 'node',
  target,
  mainFields,
  banner: { js: banner },
  format: 'esm',
  minify: true,
  sourcemap: true,
  sourcesContent: false,
  legalComments,
} as const satisfies BuildOptions

/** The same as `bundlingOf` for esbuild's own interface; output is the caller's. */
export function esbuildOptionsOf(name: BundledName) {
  return {
    ...esbuildOptions,
    absWorkingDir: root,
    entryPoints: [join(root, 'functions', `${name}.ts`)],
    alias: { ...aliasesOf(name) },
    define: { ...definesOf(name) },
  } as const satisfies BuildOptions
}
