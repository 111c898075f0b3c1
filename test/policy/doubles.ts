import { jcs } from '../../src/durable/jcs.ts'
import { nameOf } from '../../src/durable/names.ts'
import { type Bundle, writeBundle } from '../../src/policy/bundle.ts'
import type { SourceIo } from '../../src/policy/source.ts'

/** A small bundle; `mark` makes its content, and so its hash, its own. */
export const smallBundle = (tenant: string, mark: string, change: (bundle: Bundle) => void = () => {}): Bundle => {
  const bundle: Bundle = {
    v: 1,
    settings: {
      tenant,
      issuers: [],
      judge_user: true,
      explain_to_agents: false,
      data_classes: { levels: ['restricted'], types: {} },
      redeem_only: [],
      limits: { attempts: '600/m' },
      approvers: {},
      webhooks: {},
    },
    policies: {
      staticPolicies: {
        'all-read': {
          effect: 'permit',
          principal: { op: 'All' },
          action: { op: 'All' },
          resource: { op: 'All' },
          conditions: [],
          annotations: { id: 'all-read', limit: '20/h', doc: mark },
        },
      },
    },
    texts: { 'all-read': { text: '', hash: 'text-hash' } },
    schema: { '': { entityTypes: { Agent: {} }, actions: {} } },
    entities: [{ uid: { type: 'Agent', id: mark }, attrs: {}, parents: [] }],
  }
  change(bundle)
  return bundle
}

/**
 * KV as it may be: values appear when `settle` lets them, reads wait when they are held, and fail when told to. What
 * it is told stands apart from what a reader sees.
 */
export const createKv = () => {
  const values = new Map<string, string>()
  const reads: string[] = []
  let failing = false
  let held: (() => void)[] | undefined
  return {
    values,
    reads,
    fail: (on: boolean) => {
      failing = on
    },
    /** From now on reads wait; each takes its value when it starts, as a slow answer would carry it. */
    hold: () => {
      held = []
    },
    /** Lets the reads that wait go on, the last first where `order` says so. */
    release: (order: 'in order' | 'reversed' = 'in order') => {
      const waiting = held ?? []
      held = undefined
      for (const go of order === 'reversed' ? waiting.reverse() : waiting) go()
    },
    waiting: () => held?.length ?? 0,
    async get(key: string): Promise<string | null> {
      reads.push(key)
      const value = values.get(key) ?? null
      const down = failing
      if (held !== undefined) await new Promise<void>(go => held?.push(go))
      if (down) throw new Error('KV is down')
      return value
    },
  }
}
export type KvDouble = ReturnType<typeof createKv>

/** What `push` does: the body, then the pointer. */
export const push = (kv: KvDouble, seq: number, bundle: Bundle): { seq: number; hash: string } => {
  const hash = pushBody(kv, bundle)
  point(kv, bundle.settings.tenant, { seq, hash })
  return { seq, hash }
}

export const pushBody = (kv: KvDouble, bundle: Bundle): string => {
  const { body, hash } = writeBundle(bundle)
  kv.values.set(nameOf('bundle', bundle.settings.tenant, hash), body)
  return hash
}

export const point = (kv: KvDouble, tenant: string, to: { seq: number; hash: string }): void => {
  kv.values.set(nameOf('pointer', tenant), jcs({ v: 1, ...to, pushed_at: '2026-11-01T00:00:00Z' }))
}

/** A request's part: a clock that the test sets, and the work that outlives the answer. */
export const createIo = (kv: KvDouble, local = false) => {
  const pending: Promise<unknown>[] = []
  const problems: string[] = []
  const io = {
    kv,
    now: 1_000_000,
    waitUntil: (work: Promise<unknown>) => void pending.push(work),
    local,
    report: (problem: string) => void problems.push(problem),
  } satisfies SourceIo
  return { io, problems, pending, settled: () => Promise.all(pending.splice(0)) }
}
