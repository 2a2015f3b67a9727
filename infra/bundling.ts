/**
 * How a function becomes one file: the same options for what is deployed (`NodejsFunction`), what the tests look into, and
 * what the cold-start bench measures.
 *
 * The SDK is inside: a bundle of the few commands that are used loads faster than the runtime's own copy, and is the version
 * that was tested. Source maps stand beside the code, without the sources; Node reads them when a stack is printed
 * (NODE_OPTIONS=--enable-source-maps). Where credentials come from in an event function is known: functions/credentials.ts
 * stands for the SDK's search, which is a fifth of the bundle.
 */
import { join } from 'node:path'
import type { BundlingOptions, OutputFormat, SourceMapMode } from 'aws-cdk-lib/aws-lambda-nodejs'
import type { BuildOptions } from 'esbuild'

/** What is left of CommonJS in the SDK's packages may ask for a built-in module when it is called. */
const banner = "import{createRequire as hwRequire}from'node:module';const require=hwRequire(import.meta.url);"
const mainFields = ['module', 'main']
const target = 'node24'
const credentials = '@aws-sdk/credential-provider-node'
const credentialsOfFunctions = join(import.meta.dirname, '..', 'functions', 'credentials.ts')
/** The licences of what is bundled are in its packages; nobody is given the bundle. */
const legalComments = 'none'

/** For `NodejsFunction`, of an event function. */
export const nodejsBundling: BundlingOptions = {
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
  esbuildArgs: { '--legal-comments': legalComments, [`--alias:${credentials}`]: credentialsOfFunctions },
  // On this machine: esbuild is a dependency of the project.
  forceDockerBundling: false,
}

/** The same for esbuild's own interface; entry points and output are the caller's. A Web Function leaves `alias` out. */
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
  alias: { [credentials]: credentialsOfFunctions },
} as const satisfies BuildOptions
