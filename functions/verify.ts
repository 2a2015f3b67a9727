/** What is stored is held against itself, a piece a request: `work: 'verify'`. Reads everything, and may write nothing. */
import { verifyRoutes } from '../lib/http/verify.ts'
import { verifyPart } from '../lib/log/part-verify.ts'
import { type Served, serveFunction } from './environment.ts'

export const served: Served = { log: [verifyPart], routes: verifyRoutes }

export const handler = serveFunction('verify', served)
