import { LRUCache } from 'lru-cache'
import * as v from 'valibot'
import type { Epoch } from '../agent/calls/kills.ts'
import { withDeadline } from '../durable/deadline.ts'
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
/** How old what KV answers may be, and how long an isolate goes by its last answer while it gets no other. Milliseconds. */
const KV_MS = 60_000
const BOUND_MS = 120_000
const DEADLINE_MS = 1_500

/** By when every Worker has heard of a switch, or denies: both together. */
export const BOUND_SECONDS = (KV_MS + BOUND_MS) / 1_000

/** The state of one isolate. It holds values only, and never goes back in `seq`. */
export const createEpochs = ({ refreshMs = 5_000, freshMs = 60_000, boundMs = BOUND_MS } = {}): Epochs => {
  const held = new LRUCache<string, Held>({ max: 10_000 })
  return { current }

  async function current(tenant: string, io: SourceIo): Promise<Epoch | undefined> {
    const known = held.get(tenant)
    const tried = known && io.now - Math.max(known.confirmedAt, known.triedAt) < refreshMs
    // an isolate that nobody asked for a while reads first
    if (known && io.now - known.confirmedAt < (tried ? boundMs : freshMs)) {
      if (!tried) {
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
      const reading = io.kv.get(nameOf('epoch', tenant), { type: 'text', cacheTtl: TTL_SECONDS })
      const text = await withDeadline(reading, DEADLINE_MS)
      const epoch = text === null ? NONE : v.parse(v.pipe(v.string(), v.parseJson(), Document), text)
      const known = held.get(tenant)
      const newest = known && known.epoch.seq > epoch.seq ? known.epoch : epoch
      held.set(tenant, { epoch: newest, confirmedAt: io.now, triedAt: io.now })
    } catch (error) {
      const known = held.get(tenant)
      if (known) known.triedAt = io.now
      io.report?.(`tenant ${tenant}: kill switches could not be read: ${error}`)
    }
  }
}
