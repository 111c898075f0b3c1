import { dueTable } from '../durable/due.ts'
import { waitTable } from './waits.ts'

/** The tables of an agent's object. */
export const schema: readonly string[] = [
  dueTable,
  // The one row that says what the object is and has seen.
  `CREATE TABLE self (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    tenant TEXT NOT NULL,
    chain TEXT NOT NULL,
    agent TEXT NOT NULL,
    bundle_seq INTEGER,
    bundle_hash TEXT,
    suspended INTEGER NOT NULL DEFAULT 0,
    standing_since INTEGER,
    standing_by TEXT,
    flushed INTEGER NOT NULL DEFAULT 0,
    fork INTEGER
  )`,
  // No further index: a plain allow writes this row and nothing else.
  `CREATE TABLE receipt (
    seq INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    prev TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    body_commit TEXT NOT NULL,
    body TEXT NOT NULL,
    secrets TEXT NOT NULL
  )`,
  `CREATE TABLE meter (
    key TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL,
    part INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,
    at INTEGER NOT NULL,
    full_at INTEGER NOT NULL
  ) WITHOUT ROWID`,
  `CREATE TABLE reply (
    key TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    seq INTEGER NOT NULL,
    until INTEGER NOT NULL
  ) WITHOUT ROWID`,
  `CREATE TABLE proof (
    id TEXT PRIMARY KEY,
    call TEXT NOT NULL,
    until INTEGER NOT NULL
  ) WITHOUT ROWID`,
  // Decisions that a human may turn into an approval, and the task that each was given when it was requested.
  `CREATE TABLE step_up (
    evaluation_id TEXT PRIMARY KEY,
    until INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    task TEXT,
    terms TEXT NOT NULL
  ) WITHOUT ROWID`,
  `CREATE TABLE approval (
    id TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    action_hash TEXT NOT NULL,
    binding_hash TEXT NOT NULL,
    lifts TEXT NOT NULL,
    until INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used_by TEXT,
    scope TEXT,
    revoked INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID`,
  // Tasks whose end was taken in: an outbox may tell of one twice.
  'CREATE TABLE resolution (task TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID',
  waitTable,
  // What grants count: null where a grant doesn't count that.
  `CREATE TABLE purse (
    id TEXT PRIMARY KEY,
    uses INTEGER,
    amount INTEGER,
    until INTEGER NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID`,
  // What left a purse for another object, until what is left of it comes back.
  `CREATE TABLE slice (
    id TEXT PRIMARY KEY,
    purse TEXT NOT NULL,
    holder TEXT NOT NULL,
    uses INTEGER,
    amount INTEGER
  ) WITHOUT ROWID`,
  // What authorities may come from and was taken away; null: all of it, whenever it was issued.
  `CREATE TABLE revoked (
    key TEXT PRIMARY KEY,
    before INTEGER,
    until INTEGER NOT NULL
  ) WITHOUT ROWID`,
]
