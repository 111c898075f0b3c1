import { dueTable } from '../durable/due.ts'

/** The tables of an escalation's object. */
export const schema: readonly string[] = [
  dueTable,
  `CREATE TABLE escalation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    open TEXT NOT NULL,
    status TEXT NOT NULL,
    decided_at INTEGER,
    withdrawn TEXT,
    handle_until INTEGER NOT NULL,
    approval TEXT,
    changes INTEGER NOT NULL DEFAULT 1
  )`,
  `CREATE TABLE vote (
    approver TEXT PRIMARY KEY,
    vote TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL,
    counts TEXT NOT NULL,
    signed_in INTEGER NOT NULL,
    scope TEXT
  ) WITHOUT ROWID`,
  `CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL,
    target TEXT NOT NULL,
    grp TEXT,
    at INTEGER NOT NULL,
    status TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL
  ) WITHOUT ROWID`,
  'CREATE TABLE attempt (delivery TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, status INTEGER, error TEXT, PRIMARY KEY (delivery, n)) WITHOUT ROWID',
  // What each approver was shown.
  'ALTER TABLE vote ADD COLUMN shown TEXT',
  'ALTER TABLE vote ADD COLUMN facts TEXT',
  'ALTER TABLE escalation ADD COLUMN erased_at INTEGER',
]

/** Whether the object was ever opened. Asked before anything is made, so that a guessed name leaves nothing behind. */
export const exists = ({ sql }: DurableObjectStorage): boolean =>
  sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'escalation'").toArray().length > 0
