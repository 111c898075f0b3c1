import { DurableObject } from 'cloudflare:workers'
import type { DurableObjectNamespace, DurableObjectState } from '@cloudflare/workers-types'
import { Hono } from 'hono'

/**
 * What a decision is measured against: the least that a Hono route, a Durable Object call, and a Durable Object call
 * that puts one row on record cost in this workerd. They get the very bytes that the decisions get, and read none.
 */

type Env = { FLOOR: DurableObjectNamespace<FloorObject> }

export class FloorObject extends DurableObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS row (n INTEGER PRIMARY KEY, at INTEGER NOT NULL)')
  }

  nothing(): void {}

  row(at: number): void {
    this.ctx.storage.sql.exec('INSERT INTO row (at) VALUES (?)', at)
  }
}

const DONE = { done: true }

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
