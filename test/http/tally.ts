import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { createApp } from '../../src/http/app.ts'
import { createSource } from '../../src/policy/source.ts'
import { clock } from '../clock.ts'
import { within } from '../doubles.ts'

/** What a call used. A batch of statements is one call to D1, and a write if any of them writes. */
export type Used = { objects: string[]; kv: number; reads: number; writes: number }

/**
 * One isolate of the Worker that counts what its calls use of Durable Objects (theirs to each other included), KV and
 * D1, also after the answer. Its time stands still between `warm` and the next, so nothing is due meanwhile.
 */
export const createTally = () => {
  let used: Used = { objects: [], kv: 0, reads: 0, writes: 0 }
  let now = clock.now()

  const objects = <N extends object>(name: string, namespace: N): N =>
    new Proxy(namespace, {
      get: (target, member) => {
        const found: unknown = Reflect.get(target, member)
        if (typeof found !== 'function') return found
        return (...args: unknown[]) => {
          const made: unknown = found.apply(target, args)
          return member === 'getByName' || member === 'get' ? stub(name, made as object) : made
        }
      },
    })
  const stub = (name: string, of: object): object =>
    new Proxy(of, {
      get: (target, member) => {
        const method: unknown = Reflect.get(target, member)
        if (typeof method !== 'function' || member === 'then') return method
        return (...args: unknown[]) => {
          used.objects.push(`${name} ${String(member)}`)
          return Reflect.apply(method, target, args)
        }
      },
    })
  const bindings: Env = {
    ...env,
    AGENT: objects('agent', env.AGENT),
    ESCALATION: objects('escalation', env.ESCALATION),
    COLLECTOR: objects('collector', env.COLLECTOR),
    LOG: objects('log', env.LOG),
    BUNDLES: new Proxy(env.BUNDLES, {
      get: (target, member) => {
        const method: unknown = Reflect.get(target, member)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          used.kv++
          return method.apply(target, args)
        }
      },
    }),
    DB: countedD1(env.DB, writes => {
      if (writes) used.writes++
      else used.reads++
    }),
  }
  const app = createApp({ now: () => now, source: createSource() })
  const calls: string[] = []
  const send = async (request: Request): Promise<Response> => {
    calls.push(`${request.method} ${new URL(request.url).pathname}`)
    const context = createExecutionContext()
    const response = await app.fetch(request, bindings, context)
    await waitOnExecutionContext(context)
    return response
  }
  const reset = () => {
    used = { objects: [], kv: 0, reads: 0, writes: 0 }
    within.length = 0
  }
  return {
    send,
    /** What was called: methods and paths. */
    calls,
    /** A call that makes the next one warm. */
    warm: async (call: () => Promise<unknown>) => {
      now = clock.now()
      await call()
    },
    /** What anything uses that is sent, the second time. */
    counted: async (call: () => Promise<unknown>): Promise<Used> => {
      now = clock.now()
      await call()
      reset()
      await call()
      return { ...used, objects: [...used.objects, ...within].toSorted() }
    },
    /** What a call uses, and that it succeeds. */
    of: async (call: () => Promise<Response>): Promise<Used> => {
      reset()
      const response = await call()
      if (response.status >= 400) throw new Error(`${response.status} ${await response.text()}`)
      return { ...used, objects: [...used.objects, ...within].toSorted() }
    },
  }
}
export type Tally = ReturnType<typeof createTally>

const WRITES = /\b(insert(\s+or\s+\w+)?\s+into|update\s+"?\w+"?\s+set|delete\s+from|replace\s+into)\b/i

const countedD1 = (db: D1Database, tell: (writes: boolean) => void): D1Database => {
  const real = new WeakMap<object, { statement: D1PreparedStatement; sql: string }>()
  const prepared = (statement: D1PreparedStatement, sql: string): D1PreparedStatement => {
    const proxy = new Proxy(statement, {
      get: (target, member) => {
        if (member === 'bind') return (...values: unknown[]) => prepared(target.bind(...values), sql)
        const method: unknown = Reflect.get(target, member)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          tell(WRITES.test(sql))
          return Reflect.apply(method, target, args)
        }
      },
    })
    real.set(proxy, { statement, sql })
    return proxy
  }
  const over = <D extends D1Database | D1DatabaseSession>(of: D): D =>
    new Proxy(of, {
      get: (target, member) => {
        if (member === 'prepare') return (sql: string) => prepared(target.prepare(sql), sql)
        if (member === 'batch')
          return (statements: D1PreparedStatement[]) => {
            const known = statements.flatMap(one => real.get(one) ?? [])
            tell(known.some(({ sql }) => WRITES.test(sql)))
            return target.batch(known.map(({ statement }) => statement))
          }
        const method: unknown = Reflect.get(target, member)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          const made: unknown = method.apply(target, args)
          return member === 'withSession' ? over(made as D1DatabaseSession) : made
        }
      },
    })
  return over(db)
}
