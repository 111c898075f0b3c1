import { dueTable } from '../../durable/due.ts'

/** The tables of a log's object. */
export const schema: readonly string[] = [
  dueTable,
  // The one row that says whose log it is and how far it has come: leaves, and leaves under a signed checkpoint.
  `CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    tenant TEXT NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    published INTEGER NOT NULL DEFAULT 0
  )`,
  // Entries that don't stand in a full, published bundle yet.
  'CREATE TABLE entry (leaf INTEGER PRIMARY KEY, entry BLOB NOT NULL)',
  // The rightmost, partial tile of each level above the leaves, as of the last checkpoint.
  'CREATE TABLE edge (level INTEGER PRIMARY KEY, n INTEGER NOT NULL, hashes BLOB NOT NULL)',
  // How far each chain has come.
  'CREATE TABLE chain (no INTEGER PRIMARY KEY, chain TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, hash TEXT NOT NULL)',
  // Where a chain's receipts stand: `count` of them from `seq` on, side by side from `leaf` on.
  `CREATE TABLE run (
    chain INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    leaf INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (chain, seq)
  ) WITHOUT ROWID`,
  'CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, text TEXT NOT NULL, signatures TEXT NOT NULL, at INTEGER NOT NULL)',
  // Who has seen which checkpoint: a witness's signature line.
  `CREATE TABLE cosignature (
    size INTEGER NOT NULL,
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (size, witness)
  ) WITHOUT ROWID`,
  // The keys that have signed checkpoints, and the leaf that says so.
  'CREATE TABLE signer (key TEXT PRIMARY KEY, leaf INTEGER NOT NULL) WITHOUT ROWID',
  // Partial tiles in the bucket, which go when the full one is there.
  'CREATE TABLE partial (key TEXT PRIMARY KEY, level TEXT NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID',
]
