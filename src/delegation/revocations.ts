import { LRUCache } from 'lru-cache'
import { withDeadline } from '../durable/deadline.ts'
import type { Lineage } from '../identity/lineage.ts'
import { revocationsOf } from './store.ts'

/**
 * What a tenant has taken away, as an isolate knows it. Delegations that the Worker minted are told at once, through
 * the objects of those who hold them; tokens of other issuers that name a chain or a user are caught by this list, which
 * is at most `freshMs` old while D1 answers.
 */
export type Revocations = {
  taken: (lineage: Lineage, io: RevocationIo) => Promise<'no' | 'yes' | 'unknown'>
}

export type RevocationIo = {
  tenant: string
  db: D1Database
  /** Milliseconds. */
  now: number
  waitUntil: (work: Promise<unknown>) => void
  report?: (problem: string) => void
}

type Options = {
  /** How long a list is taken as current; then it is read anew, in the background. */
  freshMs: number
  /** How long it is used without being confirmed. */
  boundMs: number
  deadlineMs: number
}

const defaults: Options = { freshMs: 15_000, boundMs: 120_000, deadlineMs: 2_000 }

export const createRevocations = (options: Partial<Options> = {}): Revocations => {
  const { freshMs, boundMs, deadlineMs } = { ...defaults, ...options }
  const lists = new LRUCache<string, List>({ max: 1_000 })

  return { taken }

  async function taken({ keys, since }: Lineage, io: RevocationIo): Promise<'no' | 'yes' | 'unknown'> {
    const known = lists.get(io.tenant)
    if (!known || io.now - known.readAt >= boundMs) await read(io)
    else if (io.now - Math.max(known.readAt, known.triedAt) >= freshMs) io.waitUntil(read(io))
    const list = lists.get(io.tenant)
    if (!list || io.now - list.readAt >= boundMs) return 'unknown'
    return hits({ keys, since }, list.revoked) ? 'yes' : 'no'
  }

  /** Never throws: a list that can't be read stays as it was, and ages. */
  async function read(io: RevocationIo): Promise<void> {
    const known = lists.get(io.tenant)
    if (known) known.triedAt = io.now
    try {
      const rows = await withDeadline(revocationsOf(io.db, io.tenant), deadlineMs)
      lists.set(io.tenant, { revoked: revokedIn(rows), readAt: io.now, triedAt: io.now })
    } catch (error) {
      io.report?.(`tenant ${io.tenant}: what was taken away can't be read: ${String(error)}`)
    }
  }
}

/** The same, as D1 has it this moment. */
export const takenNow = async (lineage: Lineage, db: D1Database, tenant: string): Promise<boolean> =>
  hits(lineage, revokedIn(await revocationsOf(db, tenant)))

type Revoked = ReadonlyMap<string, number | null>

const revokedIn = (rows: Awaited<ReturnType<typeof revocationsOf>>): Revoked =>
  new Map(rows.map(({ key, before }) => [key, before]))

const hits = ({ keys, since }: Lineage, revoked: Revoked): boolean =>
  keys.some(key => {
    const before = revoked.get(key)
    return before !== undefined && (before === null || before >= since)
  })

type List = { revoked: Revoked; readAt: number; triedAt: number }
