import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import type { Epoch } from '../agent/call.ts'
import { nameOf } from '../durable/names.ts'
import type { SourceIo } from './source.ts'

/** Where an isolate reads the tenants' kill switches: beside the pointer, and as late as that is. */
export type Epochs = {
  /** `undefined` where the switches can't be told within the bound: then nothing may be allowed. */
  current: (tenant: string, io: SourceIo) => Promise<Epoch | undefined>
}

const Document = v.object({ v: v.literal(1), seq: v.pipe(v.number(), v.integer()), targets: v.array(v.string()) })

type Held = { epoch: Epoch; confirmedAt: number; triedAt: number }

const NONE: Epoch = { v: 1, seq: 0, targets: [] }
/** The least that KV allows. */
const TTL_SECONDS = 30

/** The state of one isolate. It holds values only, and never goes back in `seq`. */
export const createEpochs = ({ refreshMs = 5_000, boundMs = 120_000 } = {}): Epochs => {
  const held = new LRUCache<string, Held>({ max: 10_000 })
  return { current }

  async function current(tenant: string, io: SourceIo): Promise<Epoch | undefined> {
    const known = held.get(tenant)
    if (known && io.now - known.confirmedAt < boundMs) {
      if (io.now - Math.max(known.confirmedAt, known.triedAt) >= refreshMs) {
        known.triedAt = io.now
        io.waitUntil(refresh(tenant, io))
      }
      return known.epoch
    }
    await refresh(tenant, io)
    const found = held.get(tenant)
    return found && io.now - found.confirmedAt < boundMs ? found.epoch : undefined
  }

  async function refresh(tenant: string, io: SourceIo): Promise<void> {
    try {
      const text = await io.kv.get(nameOf('epoch', tenant), { type: 'text', cacheTtl: TTL_SECONDS })
      const epoch = text === null ? NONE : v.parse(v.pipe(v.string(), v.parseJson(), Document), text)
      const known = held.get(tenant)
      const newest = known && known.epoch.seq > epoch.seq ? known.epoch : epoch
      held.set(tenant, { epoch: newest, confirmedAt: io.now, triedAt: io.now })
    } catch (error) {
      io.report?.(`tenant ${tenant}: kill switches could not be read: ${error}`)
    }
  }
}
