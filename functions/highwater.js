#!/usr/bin/env node
// Plain JavaScript of any age: it has to run where TypeScript does not, to say what is missing.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 9)) {
  console.error(`Highwater needs Node.js 24.9 or newer; this is ${process.versions.node}.`)
  process.exitCode = 1
} else {
  import('./main.ts')
}
