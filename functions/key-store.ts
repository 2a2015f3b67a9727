/** API keys straight on the store, for the first one: until there is one, no server that wants keys lets anybody in. */
import { systemClock, systemRandom } from '../lib/adapters/system.ts'
import type { KeyStore, KeyStorePlace } from '../lib/cli/io.ts'
import { ApiKeys } from '../lib/log/api-keys.ts'
import { type StartOptions, storesOf } from './server.ts'

/** @throws StartError: a data directory that cannot be had */
export async function openKeyStore(place: KeyStorePlace, endpoint: string | undefined): Promise<KeyStore> {
  const { metadata, close } = await storesOf(optionsOf(place, endpoint))
  const keys = new ApiKeys({ metadata, clock: systemClock, random: systemRandom, persist: (work) => work() })
  return {
    create: (request) => keys.create(request),
    list: () => keys.list(),
    revoke: (id) => keys.revoke(id),
    close,
  }
}

function optionsOf(place: KeyStorePlace, endpoint: string | undefined): Pick<StartOptions, 'dataDir' | 'aws'> {
  if ('dataDir' in place) return place
  // Of segments keys know nothing: no bucket is touched.
  return { aws: { bucket: '', table: place.table, ...(endpoint === undefined ? {} : { endpoint }) } }
}
