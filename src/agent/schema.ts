import { dueTable } from '../durable/due.ts'

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
]
