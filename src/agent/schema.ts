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
  // Sums over windows of time; `entries` as `Spent` has them.
  `CREATE TABLE spent (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    entries TEXT NOT NULL,
    empty_at INTEGER NOT NULL
  ) WITHOUT ROWID`,
  // What a permit's decision took of budgets, while its outcome may still give it back.
  `CREATE TABLE reservation (
    evaluation_id TEXT NOT NULL,
    key TEXT NOT NULL,
    start INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    lease TEXT NOT NULL DEFAULT '',
    until INTEGER NOT NULL,
    PRIMARY KEY (evaluation_id, key, lease)
  ) WITHOUT ROWID`,
  // Decisions of which something is still awaited: a report, or what became of the action.
  `CREATE TABLE pending (
    evaluation_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    action_hash TEXT NOT NULL,
    report_by INTEGER,
    overdue INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    claim INTEGER,
    reported_seq INTEGER,
    until INTEGER
  ) WITHOUT ROWID`,
  `CREATE INDEX pending_unknown ON pending (action_hash) WHERE outcome = 'unknown'`,
  `CREATE INDEX pending_until ON pending (until)`,
  // Sessions, and the steps that led to them.
  `CREATE TABLE session (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL
  ) WITHOUT ROWID`,
  `CREATE TABLE session_step (
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (id, seq)
  ) WITHOUT ROWID`,
  // Permits that must be redeemed, what their actions are about, and what the authority for them came from.
  `CREATE TABLE redeemable (
    evaluation_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    targets TEXT NOT NULL,
    lineage TEXT,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER
  ) WITHOUT ROWID`,
  // The newest kill switches that the object was told of; in one object of the tenant, those that hold.
  'CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL)',
  // In that one object: who switched what off, and why.
  `CREATE TABLE kill (
    target TEXT PRIMARY KEY,
    shown TEXT NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
  ) WITHOUT ROWID`,
  // What the agent holds of budgets that it shares. `due_back` is all that goes back, `returned` what the coordinator
  // has confirmed.
  `CREATE TABLE lease (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    coordinator TEXT NOT NULL,
    amount INTEGER NOT NULL,
    rest INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    due_back INTEGER NOT NULL,
    returned INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID`,
  'CREATE INDEX lease_by_key ON lease (key)',
  // What a human let the agent spend beyond such a budget, until its coordinator has heard of it; `told` is the call.
  'CREATE TABLE overdraft (lease TEXT PRIMARY KEY, coordinator TEXT NOT NULL, told TEXT NOT NULL) WITHOUT ROWID',
  'CREATE INDEX pending_overdue ON pending (overdue) WHERE overdue = 1',
  // How a request for approval ended; null in rows of before.
  'ALTER TABLE resolution ADD COLUMN status TEXT',
  // Of what was taken away, what security events took.
  'ALTER TABLE revoked ADD COLUMN event_before INTEGER',
  'UPDATE revoked SET event_before = before',
  // The sessions that one comes from, nearest first, where another agent's task began it.
  'ALTER TABLE session ADD COLUMN line TEXT',
  // What a session has learned and the one above it hasn't confirmed.
  `CREATE TABLE session_news (
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    news TEXT NOT NULL,
    PRIMARY KEY (id, seq)
  ) WITHOUT ROWID`,
  // What an approver was shown of the facts.
  'ALTER TABLE approval ADD COLUMN facts TEXT',
  // The name of what was permitted, where the receipt doesn't say it as that of the action; it stays here.
  'ALTER TABLE receipt ADD COLUMN intent TEXT',
  // What the first step that is kept of a session led to, where those before it were forgotten.
  'CREATE TABLE session_cut (id TEXT PRIMARY KEY, state TEXT NOT NULL, line TEXT) WITHOUT ROWID',
]
