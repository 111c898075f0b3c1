import { DurableObject } from 'cloudflare:workers'
import type { DurableObjectNamespace, DurableObjectState } from '@cloudflare/workers-types'
import { Hono } from 'hono'

/**
 * What a decision is measured against: the least that a Hono route, a Durable Object call, and a Durable Object call
 * that puts one row on record cost in this workerd. They get the very bytes that the decisions get, and read none.
 *
 * The last is what a decision can't do without, and nothing of what makes it one: the body is parsed, as many rows as it
 * leaves are written in one transaction, something of a permit's length is signed, and as much is answered. No token is
 * looked at, no policy asked, nothing hashed or chained, and nothing goes on to D1 or the log.
 */

type Env = { FLOOR: DurableObjectNamespace<FloorObject> }

export class FloorObject extends DurableObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    const { sql } = ctx.storage
    sql.exec('CREATE TABLE IF NOT EXISTS row (n INTEGER PRIMARY KEY, at INTEGER NOT NULL)')
    sql.exec('CREATE TABLE IF NOT EXISTS receipt (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)')
    sql.exec('CREATE TABLE IF NOT EXISTS session (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID')
    sql.exec(
      'CREATE TABLE IF NOT EXISTS step (id TEXT, at INTEGER, entry TEXT NOT NULL, PRIMARY KEY (id, at)) WITHOUT ROWID',
    )
  }

  nothing(): void {}

  row(at: number): void {
    this.ctx.storage.sql.exec('INSERT INTO row (at) VALUES (?)', at)
  }

  rows(receipt: string, session: string, step: string): string {
    const { sql } = this.ctx.storage
    return this.ctx.storage.transactionSync(() => {
      const [last] = sql.exec<{ seq: number }>('SELECT max(seq) AS seq FROM receipt')
      const seq = (last?.seq ?? 0) + 1
      sql.exec('INSERT INTO receipt (seq, body) VALUES (?, ?)', seq, receipt)
      sql.exec('INSERT OR REPLACE INTO session (id, state) VALUES (?, ?)', 'a session', session)
      sql.exec('INSERT INTO step (id, at, entry) VALUES (?, ?, ?)', 'a session', seq, step)
      return step
    })
  }
}

const DONE = { done: true }

/** Of about the size that they have in this benchmark's decisions. */
const RECEIPT = 'r'.repeat(1_300)
const SESSION = 's'.repeat(400)
const STEP = 't'.repeat(300)
const PERMIT = new TextEncoder().encode('p'.repeat(700))
const ANSWER = { ...DONE, answer: 'a'.repeat(1_300) }

let keys: Promise<CryptoKeyPair> | undefined
const generated = async () => {
  const pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
  if (!('privateKey' in pair)) throw new Error('no pair of keys')
  return pair
}

export default new Hono<{ Bindings: Env }>()
  .post('/bare/:name', c => c.json(DONE))
  .post('/empty/:name', async c => {
    await c.env.FLOOR.getByName(c.req.param('name')).nothing()
    return c.json(DONE)
  })
  .post('/row/:name', async c => {
    await c.env.FLOOR.getByName(c.req.param('name')).row(Date.now())
    return c.json(DONE)
  })
  .post('/least/:name', async c => {
    await c.req.json()
    await c.env.FLOOR.getByName(c.req.param('name')).rows(RECEIPT, SESSION, STEP)
    keys ??= generated()
    await crypto.subtle.sign('Ed25519', (await keys).privateKey, PERMIT)
    return c.json(ANSWER)
  })
