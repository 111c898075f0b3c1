/** What a test can break between the parts of the running Worker. All whole again after `mend`. */
export const broken = {
  /** Writes to D1 fail. */
  d1: false,
  /** D1 takes a write, and its answer is lost. */
  d1Answers: false,
  /** Collectors can't be reached. */
  collectors: false,
  /** Escalations can't reach agents' objects. */
  agents: false,
  /** Agents' objects decide, and their answers are lost. */
  answers: false,
  /** Logs can't be reached. */
  log: false,
  /** Coordinators of shared budgets can't be reached. */
  budgets: false,
  /** How many writes reached D1, or would have. */
  writes: 0,
}

export const mend = (): void => {
  const connections = { collectors: false, agents: false, log: false, budgets: false }
  Object.assign(broken, { ...connections, d1: false, d1Answers: false, answers: false, writes: 0 })
  Object.assign(between, { calls: [], fate: () => 'whole' })
}

/** What becomes of a call: it doesn't arrive, or it does and the answer is lost. */
type Fate = 'whole' | 'lost' | 'unanswered'

/** The calls that agents' objects make to each other, by method, and what becomes of them. */
export const between = { calls: [] as string[], fate: (_method: string): Fate => 'whole' }

/** Lets `between` count and break the calls to objects. */
export const watched = <T extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<T>,
): DurableObjectNamespace<T> => {
  const stub = (of: object) =>
    new Proxy(of, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        return async (...args: unknown[]) => {
          const method = String(name)
          between.calls.push(method)
          within.push(`agent ${method}, by an object`)
          const fate = between.fate(method)
          if (fate === 'lost') throw new Error(`${method} did not arrive`)
          const answer: unknown = await Reflect.apply(member, target, args)
          if (fate === 'unanswered') throw new Error(`the answer to ${method} was lost`)
          return answer
        }
      },
    })
  return new Proxy(namespace, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => stub(Reflect.apply(member, target, args))
    },
  })
}

export const breakableD1 = (db: D1Database): D1Database =>
  new Proxy(db, {
    get: (target, name) => {
      if (name !== 'batch') {
        const member = Reflect.get(target, name)
        return typeof member === 'function' ? member.bind(target) : member
      }
      return async (statements: D1PreparedStatement[]) => {
        broken.writes++
        if (broken.d1) throw new Error('D1 is cut off')
        const results = await target.batch(statements)
        if (broken.d1Answers) throw new Error('the answer was lost')
        return results
      }
    },
  })

export const breakable = <T extends Rpc.DurableObjectBranded | undefined>(
  namespace: DurableObjectNamespace<T>,
  what: 'collectors' | 'agents' | 'log' | 'budgets' = 'collectors',
): DurableObjectNamespace<T> =>
  new Proxy(namespace, {
    get: (target, name) => {
      const member = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (broken[what]) throw new Error(`${what} out of reach`)
        return Reflect.apply(member, target, args)
      }
    },
  })

/** The calls that objects made to one another. */
export const within: string[] = []

/** Notes the calls to the objects of a namespace, while they count. */
export const counting = <T extends Rpc.DurableObjectBranded | undefined>(
  of: DurableObjectNamespace<T>,
  name: string,
  counts: () => boolean = () => true,
): DurableObjectNamespace<T> =>
  new Proxy(of, {
    get: (target, member) => {
      const method: unknown = Reflect.get(target, member)
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => {
        // each stub is used once
        if (member === 'getByName' && counts()) within.push(`${name}, by an object`)
        return method.apply(target, args)
      }
    },
  })
