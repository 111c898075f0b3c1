import { DurableObject } from 'cloudflare:workers'
import type { AgentObject } from '../agent/object.ts'
import { type Vault, vaultOf } from '../audit/privacy/vault.ts'
import type { EntityUid } from '../cedar/json.ts'
import { arm, runDue } from '../durable/due.ts'
import { migrate } from '../durable/schema.ts'
import type { CancelCall, CancelReply, EscalationState, OpenCall, VoteCall, VoteReply } from './call.ts'
import { passingOn, reminding, replay } from './deliveries.ts'
import { erase } from './erase.ts'
import { open } from './open.ts'
import { decideAs, delivering, expiring } from './outcome.ts'
import { exists, schema } from './schema.ts'
import { type SendEnv, sending } from './send.ts'
import { isOver, readOpen, readState } from './state.ts'
import { index } from './store.ts'
import { vote } from './vote.ts'

/** What the object needs of its Worker. `NOW` and `FETCH` are there in tests alone. */
export type EscalationEnv = SendEnv & {
  AGENT: DurableObjectNamespace<AgentObject>
  NOW?: () => number
  FETCH?: typeof fetch
}

/** One request for approval: who answered, what is still to be told to whom, and until when. */
export class EscalationObject extends DurableObject<EscalationEnv> {
  readonly #clock = (): number => this.env.NOW?.() ?? Date.now()
  readonly #vault = (tenant: string): Vault => vaultOf(this.env, tenant, this.#clock())
  /** Callers that wait for the status to change. They are gone with the isolate, and ask again. */
  readonly #waiting = new Set<() => void>()

  constructor(ctx: DurableObjectState, env: EscalationEnv) {
    super(ctx, env)
    // A guessed name must leave nothing behind.
    if (!exists(ctx.storage)) return
    migrate(ctx.storage, schema)
    arm(ctx.storage)
  }

  open(call: OpenCall): EscalationState {
    open(this.ctx.storage, call)
    const state = readState(this.ctx.storage)
    if (!state) throw new Error('opened, and not there')
    return state
  }

  state(): EscalationState | undefined {
    return readState(this.ctx.storage)
  }

  /** The state once it is over, or after `ms`. */
  async settled({ ms }: { ms: number }): Promise<EscalationState | undefined> {
    const found = readOpen(this.ctx.storage)
    if (found && !isOver(found.status)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, ms)
      this.#waiting.add(resolve)
      await promise
      clearTimeout(timer)
      this.#waiting.delete(resolve)
    }
    return readState(this.ctx.storage)
  }

  async vote(call: VoteCall): Promise<VoteReply> {
    const { storage } = this.ctx
    const reply = vote(storage, call)
    if (reply.kind === 'refused' || reply.again) return reply
    const { status = reply.status } = (await this.#deliver()) ?? {}
    return { ...reply, status }
  }

  cancel(call: CancelCall): CancelReply {
    const { storage } = this.ctx
    const reply = storage.transactionSync((): CancelReply => {
      const found = readOpen(storage)
      if (!found) return { kind: 'refused', reason: 'unknown_task' }
      if (found.status !== 'pending') return { kind: 'refused', reason: 'invalid_task_state' }
      const { v: _, at, ...withdrawn } = call
      decideAs(storage, { status: 'cancelled', at, withdrawn })
      return { kind: 'cancelled' }
    })
    if (reply.kind === 'cancelled') this.#changed()
    return reply
  }

  /** Takes out what it asked for and what was said of it; one that still waited ends so. */
  async erase(call: { subject: EntityUid; at: number }): Promise<{ object: string; evaluationId: string } | undefined> {
    const { storage } = this.ctx
    const erased = erase(storage, call)
    if (!erased) return undefined
    this.#changed()
    await this.#index()
    return erased
  }

  /** Sends a message again that was given up. */
  replay({ delivery, at }: { delivery: string; at: number }): { replayed: boolean } {
    return { replayed: exists(this.ctx.storage) && replay(this.ctx.storage, delivery, at) }
  }

  /** A WebSocket that is told when the request is over. It may sleep until then. */
  override fetch(request: Request): Response {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') return new Response(null, { status: 426 })
    const { 0: client, 1: server } = new WebSocketPair()
    this.ctx.acceptWebSocket(server)
    this.#tell(server)
    return new Response(null, { status: 101, webSocket: client })
  }

  override async alarm(): Promise<void> {
    const { storage } = this.ctx
    const changed = () => this.#changed()
    const handlers = {
      deliver: delivering(storage, this.env.AGENT, this.#vault, this.#clock, changed),
      expire: expiring(storage, this.#clock, changed),
      remind: reminding(storage, this.#clock),
      pass_on: passingOn(storage, this.#clock),
      send: sending(storage, this.env, this.#clock, this.env.FETCH),
      index: { run: () => this.#index(), next: () => undefined },
      forget: { run: () => this.#forget(), next: () => undefined },
    }
    await runDue(storage, handlers, this.#clock)
  }

  /** At once where it can be; else the alarm will. */
  async #deliver(): Promise<EscalationState | undefined> {
    const { storage } = this.ctx
    try {
      await delivering(storage, this.env.AGENT, this.#vault, this.#clock, () => this.#changed()).run('')
    } catch (error) {
      console.warn(`escalation: the agent's object was not reached: ${error}`)
    }
    const state = readState(storage)
    if (state && isOver(state.status)) this.#changed()
    return state
  }

  async #index(): Promise<void> {
    const { storage } = this.ctx
    const state = readState(storage)
    if (!state) return
    const { changes } = storage.sql.exec<{ changes: number }>('SELECT changes FROM escalation').one()
    await index(this.env.DB, state, changes)
  }

  /** What was asked and said may be personal, and is on the agent's chain as far as it must be kept. */
  #forget(): void {
    const { storage } = this.ctx
    storage.transactionSync(() => {
      for (const table of ['attempt', 'delivery', 'vote', 'escalation']) storage.sql.exec(`DELETE FROM ${table}`)
    })
  }

  #changed(): void {
    for (const go of this.#waiting) go()
    for (const socket of this.ctx.getWebSockets()) this.#tell(socket)
  }

  #tell(socket: WebSocket): void {
    // one that was told that it is over is closing
    if (socket.readyState !== WebSocket.OPEN) return
    const found = readOpen(this.ctx.storage)
    if (!found) {
      socket.close(1008, 'unknown_task')
      return
    }
    const over = isOver(found.status)
    socket.send(JSON.stringify({ task: { id: found.open.task, status: over ? found.status : 'pending' } }))
    if (over) socket.close(1000, 'over')
  }
}
