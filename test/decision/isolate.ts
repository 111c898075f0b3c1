import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { DecideCall, DecideReply } from '../../src/agent/calls/decide.ts'
import type { AgentObject } from '../../src/agent/object.ts'
import { createApp } from '../../src/http/app.ts'
import { createSource, type SourceOptions } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import type { Send } from '../http/world.ts'

/** What becomes of a call to an agent's object. */
export type Fate = (call: DecideCall, decide: (call: DecideCall) => Promise<DecideReply>) => Promise<DecideReply>

/** What a reader of KV sees of a key. */
export type View = (key: string, read: () => Promise<string | null>) => Promise<string | null>

/**
 * One isolate of the Worker: an app with a cache of its own on the shared objects and stores, whose every use of a
 * binding is counted and can be interfered with.
 */
export const createIsolate = (options: Partial<SourceOptions> = {}, more: Partial<Env> = {}) => {
  const uses: string[] = []
  const calls: DecideCall[] = []
  let fate: Fate = (call, decide) => decide(call)
  let view: View = (_, read) => read()

  const stub = (of: DurableObjectStub<AgentObject>): DurableObjectStub<AgentObject> =>
    new Proxy(of, {
      get: (target, name) => {
        uses.push(`object ${String(name)}`)
        if (name !== 'decide') return Reflect.get(target, name)
        return (call: DecideCall): Promise<DecideReply> => {
          calls.push(call)
          return fate(call, async given => await target.decide(given))
        }
      },
    })
  const AGENT: DurableObjectNamespace<AgentObject> = new Proxy(env.AGENT, {
    get: (target, name) => {
      if (name === 'getByName') return (of: string) => stub(target.getByName(of))
      throw new Error(`AGENT.${String(name)} is not what the way of a decision uses`)
    },
  })
  const BUNDLES: KVNamespace = new Proxy(env.BUNDLES, {
    get: (target, name) => {
      if (name !== 'get') throw new Error(`KV ${String(name)} is not what the way of a decision uses`)
      return (key: string) => {
        uses.push('kv get')
        return view(key, () => target.get(key))
      }
    },
  })
  const counted = <T extends object>(binding: string, object: T): T =>
    new Proxy(object, {
      get: (target, name) => {
        uses.push(`${binding} ${String(name)}`)
        const member: unknown = Reflect.get(target, name)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  const bindings: Env = {
    ...env,
    AGENT,
    BUNDLES,
    DB: counted('d1', env.DB),
    COLLECTOR: counted('collector', env.COLLECTOR),
    ...more,
  }

  const app = createApp({ now: () => clock.now(), source: createSource(options) })
  /** Work that outlives the answer is waited for unless told not to. */
  const sending =
    (wait: boolean): Send =>
    async request => {
      const context = createExecutionContext()
      const response = await app.fetch(request, bindings, context)
      if (wait) await waitOnExecutionContext(context)
      return response
    }

  return {
    send: sending(true),
    sendAndLeave: sending(false),
    /** The calls to `decide`, as they were made. */
    calls,
    /** Every use of a binding since this was last asked. */
    uses: () => uses.splice(0),
    meet: (next: Fate) => {
      fate = next
    },
    see: (next: View) => {
      view = next
    },
  }
}
