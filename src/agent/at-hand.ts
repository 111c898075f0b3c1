import type { Epoch } from './calls/kills.ts'
import { epochIn, readEpoch } from './kills.ts'
import type { Self } from './self.ts'
import { readSession, type Session, type StoredSession, sessionIn } from './session.ts'

/** What nearly every decision reads of its object. */
export type AtHand = {
  /** `undefined` where nothing was ever asked of this object. */
  self: Pick<Self, 'bundle' | 'suspended' | 'flushed' | 'fork' | 'head'> | undefined
  /** The newest kill switches that it was told of. */
  epoch: Epoch
  /** Whether there is anything to look for: authority that was taken away, actions of which nobody knows the outcome. */
  revocations: boolean
  unknownOutcomes: boolean
  sweepPlanned: boolean
  session: Session | 'tampered' | undefined
}

/** Reads it in one statement: in an object, asking costs more than what is read. */
export const readAtHand = (storage: DurableObjectStorage, session: string | undefined): AtHand => {
  const [row] = storage.sql.exec(SELECT, session ?? null).raw<Row>()
  if (!row) {
    // It may have been told of switches, and of where a session comes from, before anything was asked of it.
    return {
      self: undefined,
      epoch: readEpoch(storage),
      revocations: true,
      unknownOutcomes: true,
      sweepPlanned: false,
      session: session === undefined ? undefined : readSession(storage, session),
    }
  }
  const [epoch, revoked, unknown, swept, flushed, suspended, fork, bundleSeq, bundleHash, seq, hash, at, ...stored] =
    row
  return {
    self: {
      bundle: bundleSeq === null || bundleHash === null ? undefined : { seq: bundleSeq, hash: bundleHash },
      suspended: suspended === 1,
      flushed,
      fork: fork ?? undefined,
      head: seq === null || hash === null || at === null ? undefined : { seq, hash, at },
    },
    epoch: epochIn(epoch ?? undefined),
    revocations: revoked === 1,
    unknownOutcomes: unknown === 1,
    sweepPlanned: swept === 1,
    session: session === undefined ? undefined : sessionIn(storage, session, stored),
  }
}

type Row = [
  epoch: string | null,
  revoked: number,
  unknown: number,
  swept: number,
  flushed: number,
  suspended: number,
  fork: number | null,
  bundleSeq: number | null,
  bundleHash: string | null,
  seq: number | null,
  hash: string | null,
  at: number | null,
  ...StoredSession,
]

/** A bare parameter in an outer join would have SQLite prepare the statement anew each time that it is bound. */
const SELECT = `
  SELECT
    (SELECT epoch FROM epoch),
    EXISTS (SELECT 1 FROM revoked),
    EXISTS (SELECT 1 FROM pending WHERE outcome = 'unknown'),
    EXISTS (SELECT 1 FROM due WHERE kind = 'sweep'),
    self.flushed, self.suspended, self.fork, self.bundle_seq, self.bundle_hash,
    head.seq, head.hash, head.at,
    session.seq, session.hash, session.state, session.line, step.prev, step.entry
  FROM self
  LEFT JOIN receipt AS head ON head.seq = (SELECT max(seq) FROM receipt)
  LEFT JOIN session ON session.id = '' || ?
  LEFT JOIN session_step AS step ON step.id = session.id AND step.seq = session.seq`
