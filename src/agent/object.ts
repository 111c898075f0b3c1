import { DurableObject } from 'cloudflare:workers'
import type { CollectorObject } from '../audit/collector.ts'
import type { StoredReceipt } from '../audit/receipt.ts'
import type { BudgetObject } from '../budget/object.ts'
import { arm, runDue } from '../durable/due.ts'
import { Gathering } from '../durable/gathering.ts'
import { migrate } from '../durable/schema.ts'
import type { Filter } from '../sdk/scope/filter.ts'
import { asksOthers, decideAsking } from './asking.ts'
import type { ForgetCall, RequestCall, RequestReply, ResolveCall, ResolveReply } from './calls/approvals.ts'
import type { DecideCall, DecideReply, ProofClaim } from './calls/decide.ts'
import type {
  BeginCall,
  DelegateCall,
  DelegateReply,
  Reclaimed,
  RevokeCall,
  WidenCall,
  WidenReply,
} from './calls/delegate.ts'
import type { Epoch, Kill, KillCall, KillReply } from './calls/kills.ts'
import type { OutcomeCall, OutcomeReply, RedeemCall, RedeemReply } from './calls/outcomes.ts'
import type { Answered, Found, ScopeCall, SearchCall, WhoamiCall } from './calls/questions.ts'
import type { NoteCall } from './calls/receipts.ts'
import type { ToldCall } from './calls/sessions.ts'
import type { Standing, StandingCall, Status } from './calls/standing.ts'
import type { Waiting } from './calls/waits.ts'
import { decide } from './decide.ts'
import { begin, delegate, reclaim, returning } from './delegate.ts'
import { learnEpoch, publishing, readEpoch, readKills, setKill } from './kills.ts'
import { type Dry, givingBack } from './leases.ts'
import { answered, learn, tell, telling, toldFirst } from './line.ts'
import { note, noteOnce } from './note.ts'
import { flushing, refill, unflushed } from './outbox.ts'
import { report } from './outcome.ts'
import { tellingOverdrafts } from './overdrafts.ts'
import { overdueReports, reminding } from './pending.ts'
import { claimProof } from './proofs.ts'
import { pruning } from './prune.ts'
import type { Purse } from './purses.ts'
import { permitsOut, receiptsAfter } from './receipts.ts'
import { lapsing, redeem } from './redeem.ts'
import { forget, resolve, revoke } from './resolutions.ts'
import { retire } from './retire.ts'
import { setRevoked } from './revocations.ts'
import { schema } from './schema.ts'
import { scope } from './scope.ts'
import { search } from './search.ts'
import { readSelf } from './self.ts'
import { cutting } from './session-cut.ts'
import { traceSession } from './session-trace.ts'
import { setStanding } from './standing.ts'
import { openRequest } from './step-ups.ts'
import { planSweep, sweeping } from './sweep.ts'
import { remembered } from './tree.ts'
import { expiring, readWait, wake } from './waits.ts'
import { whoami } from './whoami.ts'
import { widen } from './widen.ts'

/** What the object needs of its Worker. `NOW` is there in tests alone. */
export type AgentEnv = {
  COLLECTOR: DurableObjectNamespace<CollectorObject>
  /** Other agents' objects: they hold slices of this one's purses, and sessions of the same tree. */
  AGENT: DurableObjectNamespace<AgentObject>
  BUNDLES: KVNamespace
  BUDGET: DurableObjectNamespace<BudgetObject>
  NOW?: () => number
}

/** One agent's state and the chain of its receipts; also each of the chains of callers that no bundle knows. */
export class AgentObject extends DurableObject<AgentEnv> {
  /** Forgotten whenever the object is: it only spares calls. */
  readonly #dry: Dry = new Map()
  readonly #clock = (): number => this.env.NOW?.() ?? Date.now()
  /** The chain has the name of its object, so that a receipt shows whose it is. */
  readonly #chain = this.ctx.id.name ?? this.ctx.id.toString()
  /** Who holds the line for the end of a wait. They are lost with the object, and ask again. */
  readonly #listeners = new Map<string, Set<() => void>>()
  /** Calls for decisions that came at the same time. */
  readonly #asking = new Gathering()

  constructor(ctx: DurableObjectState, env: AgentEnv) {
    super(ctx, env)
    migrate(ctx.storage, schema)
    arm(ctx.storage)
  }

  decide(call: DecideCall): Promise<DecideReply> {
    return this.#asking.join(() => this.#decide(call))
  }

  /** Waits for nothing where nobody else need be asked. */
  async #decide(call: DecideCall): Promise<DecideReply> {
    const { storage } = this.ctx
    const others = { budgets: this.env.BUDGET, agents: this.env.AGENT, dry: this.#dry }
    const reply = call.items.some(item => asksOthers(storage, item))
      ? await decideAsking(storage, this.#chain, call, others, this.#clock)
      : decide(storage, this.#chain, call, this.#clock)
    this.#tellEnded()
    return answered(storage, this.env.AGENT, call, reply)
  }

  /** A session below one of this agent's has learned something. What it adds is known up the line before this returns. */
  async told(call: ToldCall): Promise<void> {
    learn(this.ctx.storage, call, this.#clock())
    await tell(this.ctx.storage, this.env.AGENT, call.session)
  }

  /** What a session knows, for those of its tree. */
  remembered({ session }: { v: 1; session: string }): ReturnType<typeof remembered> {
    return remembered(this.ctx.storage, session)
  }

  /** Takes down what became of an action that was allowed. */
  report(call: OutcomeCall): OutcomeReply {
    return report(this.ctx.storage, call, this.#clock)
  }

  /** The same of several, each for itself. */
  reportAll(calls: OutcomeCall[]): OutcomeReply[] {
    return calls.map(call => report(this.ctx.storage, call, this.#clock))
  }

  redeem(call: RedeemCall): RedeemReply {
    return redeem(this.ctx.storage, call, this.#clock)
  }

  /** Of the one object that keeps a tenant's kill switches. */
  kill(call: KillCall): KillReply {
    return setKill(this.ctx.storage, this.#chain, call, this.#clock)
  }

  kills(): { seq: number; kills: Kill[] } {
    return { seq: readEpoch(this.ctx.storage).seq, kills: readKills(this.ctx.storage) }
  }

  learn(epoch: Epoch): void {
    learnEpoch(this.ctx.storage, epoch)
  }

  /** For calls that no agent's decision settles: whether the proof is new. */
  claim(proof: ProofClaim): boolean {
    return this.ctx.storage.transactionSync(() => {
      planSweep(this.ctx.storage, this.#clock())
      return claimProof(this.ctx.storage, proof)
    })
  }

  search(call: SearchCall): Promise<Answered<Found[]>> {
    return search(this.ctx.storage, this.#chain, call, this.env.AGENT, this.#clock)
  }

  /** What a filter lets its holder read is known up the line before it is given. */
  scope(call: ScopeCall): Answered<Filter> | Promise<Answered<Filter>> {
    const { storage } = this.ctx
    const reply = scope(storage, this.#chain, call, this.#clock)
    return reply.kind === 'answered' ? toldFirst(storage, this.env.AGENT, call.session, reply) : reply
  }

  whoami(call: WhoamiCall): Answered<Purse | null> {
    return whoami(this.ctx.storage, this.#chain, call, this.#clock)
  }

  /** What is handed on must be known up the line, since whoever inherits it has nothing to tell of it. */
  delegate(call: DelegateCall): DelegateReply | Promise<DelegateReply> {
    const { storage } = this.ctx
    const reply = delegate(storage, this.#chain, call, this.#clock)
    return reply.kind === 'delegated' ? toldFirst(storage, this.env.AGENT, call.session?.id, reply) : reply
  }

  widen(call: WidenCall): WidenReply {
    return widen(this.ctx.storage, this.#chain, call, this.#clock)
  }

  begin(call: BeginCall): void {
    begin(this.ctx.storage, call, this.#clock)
  }

  reclaim({ id, until }: { id: string; until: number }): Reclaimed {
    return reclaim(this.ctx.storage, id, until)
  }

  takeAway(call: RevokeCall): { confirmedAt: number } {
    return setRevoked(this.ctx.storage, call, this.#clock)
  }

  suspend(call: StandingCall): Standing {
    return setStanding(this.ctx.storage, this.#chain, true, call, this.#clock)
  }

  resume(call: StandingCall): Standing {
    return setStanding(this.ctx.storage, this.#chain, false, call, this.#clock)
  }

  note(call: NoteCall): { seq: number; hash: string } {
    return note(this.ctx.storage, this.#chain, call, this.#clock)
  }

  noteOnce(call: NoteCall, claim: ProofClaim): void {
    noteOnce(this.ctx.storage, this.#chain, call, claim, this.#clock)
  }

  /** The one task of a denied evaluation that a human may approve. */
  request(call: RequestCall): RequestReply {
    return this.ctx.storage.transactionSync(() => openRequest(this.ctx.storage, call))
  }

  /** What became of a request for approval. */
  resolve(call: ResolveCall): ResolveReply {
    return resolve(this.ctx.storage, this.#chain, call, this.#clock)
  }

  /** Takes what is kept of a request that was erased. */
  forget(call: ForgetCall): void {
    forget(this.ctx.storage, call)
  }

  /** Whoever acted here was erased, and never comes back here. */
  retire(): void {
    retire(this.ctx.storage)
  }

  revoke({ approval }: { approval: string }): { revoked: boolean } {
    return revoke(this.ctx.storage, approval)
  }

  /** Facts have come that these deferred decisions wait for. */
  wake({ evaluationIds }: { v: 1; evaluationIds: string[] }): void {
    for (const id of evaluationIds) wake(this.ctx.storage, id)
    this.#tellEnded()
  }

  /** A deferred decision's wait: where it is open, as it is when it ends or after `ms`. */
  async waiting({ evaluationId, ms }: { v: 1; evaluationId: string; ms: number }): Promise<Waiting | undefined> {
    const wait = readWait(this.ctx.storage, evaluationId)
    if (wait?.state !== 'open' || ms <= 0) return wait
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    const told = this.#listeners.get(evaluationId) ?? new Set()
    this.#listeners.set(evaluationId, told.add(resolve))
    await promise
    clearTimeout(timer)
    told.delete(resolve)
    return readWait(this.ctx.storage, evaluationId)
  }

  /** `undefined` where nothing was ever asked of this object. */
  status(): Status | undefined {
    const self = readSelf(this.ctx.storage)
    if (!self) return undefined
    const { suspended, since, by, bundle, head, fork } = self
    return {
      suspended,
      unflushed: unflushed(this.ctx.storage),
      permits: permitsOut(this.ctx.storage, this.#clock()),
      overdue: overdueReports(this.ctx.storage),
      ...(since !== undefined && { since }),
      ...(by !== undefined && { by }),
      ...(bundle && { bundle }),
      ...(head && { head }),
      ...(fork !== undefined && { fork }),
    }
  }

  /** Receipts after `after`, oldest first, as far back as they are kept. */
  receipts({ after, limit }: { after: number; limit: number }): StoredReceipt[] {
    return receiptsAfter(this.ctx.storage, after, Math.min(limit, 1_000))
  }

  /** A session's steps, and whether they lead to what is remembered of it. */
  session(id: string): ReturnType<typeof traceSession> {
    return traceSession(this.ctx.storage, id)
  }

  /** Sends what D1 has lost again. Says which receipts that is; earlier ones are no longer here. */
  refill({ from }: { from: number }): { from: number; to: number } {
    return this.ctx.storage.transactionSync(() => refill(this.ctx.storage, from, this.#clock()))
  }

  override async alarm(): Promise<void> {
    const { storage } = this.ctx
    const handlers = {
      tell: telling(storage, this.env.AGENT, this.#clock),
      lease: givingBack(storage, this.env.BUDGET, this.#clock),
      overdraft: tellingOverdrafts(storage, this.env.BUDGET),
      lapse: lapsing(storage, this.#clock),
      publish: publishing(storage, this.env.BUNDLES, this.#clock),
      report: reminding(storage, this.#clock),
      flush: flushing(storage, this.env.COLLECTOR, this.#clock),
      prune: pruning(storage, this.#clock),
      sweep: sweeping(storage, this.#clock),
      cut: cutting(storage, this.#clock),
      wait: expiring(storage, this.#clock),
      slice: returning(
        storage,
        (holder, id, until) => this.env.AGENT.getByName(holder).reclaim({ id, until }),
        this.#clock,
      ),
    }
    await runDue(storage, handlers, this.#clock)
    this.#tellEnded()
  }

  /** Lets those know who hold the line for waits that have ended. */
  #tellEnded(): void {
    for (const [id, told] of this.#listeners) {
      if (readWait(this.ctx.storage, id)?.state === 'open') continue
      this.#listeners.delete(id)
      for (const resolve of told) resolve()
    }
  }
}
