import type { Head } from '../audit/receipt.ts'

/** What an agent's object is, has seen, and where its chain stands. */
export type Self = {
  tenant: string
  chain: string
  agent: string
  bundle: { seq: number; hash: string } | undefined
  suspended: boolean
  /** When it was last suspended or resumed, and by whom. */
  since: number | undefined
  by: string | undefined
  /** Greatest `seq` that D1 has confirmed. */
  flushed: number
  /** Where the record contradicted the chain. */
  fork: number | undefined
  head: Head | undefined
}

/** `undefined` where nothing was ever asked of this object. */
export const readSelf = ({ sql }: DurableObjectStorage): Self | undefined => {
  const [row] = sql.exec<Row>(
    `SELECT self.*, receipt.seq, receipt.hash, receipt.at FROM self
     LEFT JOIN receipt ON receipt.seq = (SELECT max(seq) FROM receipt)`,
  )
  if (!row) return undefined
  const { seq, hash, at } = row
  return {
    tenant: row.tenant,
    chain: row.chain,
    agent: row.agent,
    bundle:
      row.bundle_seq === null || row.bundle_hash === null ? undefined : { seq: row.bundle_seq, hash: row.bundle_hash },
    suspended: row.suspended === 1,
    since: row.standing_since ?? undefined,
    by: row.standing_by ?? undefined,
    flushed: row.flushed,
    fork: row.fork ?? undefined,
    head: seq === null || hash === null || at === null ? undefined : { seq, hash, at },
  }
}

/** The same, of an object that now begins to exist if it didn't. */
export const openSelf = (storage: DurableObjectStorage, is: Pick<Self, 'tenant' | 'chain' | 'agent'>): Self => {
  const self = readSelf(storage)
  if (self) return self
  storage.sql.exec('INSERT INTO self (one, tenant, chain, agent) VALUES (1, ?, ?, ?)', is.tenant, is.chain, is.agent)
  return {
    ...is,
    bundle: undefined,
    suspended: false,
    since: undefined,
    by: undefined,
    flushed: 0,
    fork: undefined,
    head: undefined,
  }
}

type Row = {
  tenant: string
  chain: string
  agent: string
  bundle_seq: number | null
  bundle_hash: string | null
  suspended: number
  standing_since: number | null
  standing_by: string | null
  flushed: number
  fork: number | null
  seq: number | null
  hash: string | null
  at: number | null
}
