import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { clock } from '../clock.ts'
import { createIsolate } from '../decision/isolate.ts'
import { between, mend } from '../doubles.ts'
import { answerIn, createWorld, type Sending, type World } from '../http/world.ts'
import { type Delegated, delegate, refusalOf, sending } from './delegating.ts'

/** Sessions of parents and children, in the fixture `bank`: what has read `a2` mails nothing to the outside. */

let world: World
beforeEach(async () => {
  clock.reset()
  world = await createWorld({ folder: 'bank' })
})
afterEach(mend)

const PATH = '/access/v1/evaluation'
const outside = { to: 'x@evil.example' }
const asked = (agent: string, name: string) => ({
  subject: { type: 'Agent', id: agent },
  action: { name, properties: name === 'view' ? {} : outside },
  resource: name === 'view' ? { type: 'Account', id: 'a2' } : { type: 'Mailbox', id: 'out' },
})

/** One agent at its task: `from` is its token, with the key of a delegated one. */
type Worker = { agent: string; from: string | Delegated; session: string }

const clerk = async (sid = 's1'): Promise<Worker> => ({
  agent: 'clerk',
  from: await world.agentToken('clerk', { sid }),
  session: sid,
})
const childOf = async ({ from }: Worker, agent: string): Promise<Worker> => {
  const child = await delegate(world, from, { agent })
  return { agent, from: child, session: child.id }
}
const ask = async ({ agent, from }: Worker, name: string, more: Sending = {}) => {
  const own: Sending = typeof from === 'string' ? { token: from } : await sending(world, from, PATH)
  const headers = { ...own.headers, ...more.headers }
  return (await answerIn(await world.post(PATH, asked(agent, name), { ...own, ...more, headers }))).context
}
const reasonOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).reason
const trace = async ({ agent, session }: Worker) => {
  const traced = await world.object(agent).session(session)
  if (!traced) throw new Error(`${agent} has no session ${session}`)
  return { ...traced, entries: traced.steps.map(({ entry }) => JSON.parse(entry)) }
}

describe('a child session', () => {
  it("begins with what its parent's knew, and says where it has that from", async () => {
    const parent = await clerk()
    expect(await reasonOf(parent, 'view')).toBe('permitted')
    const child = await childOf(parent, 'helper')
    expect(await reasonOf(child, 'mail')).toBe('forbidden')

    const [above, below] = [await trace(parent), await trace(child)]
    expect([above.wrong, below.wrong]).toEqual([undefined, undefined])
    expect(below.state).toMatchObject({ level: 2, steps: 0, actions: ['view'], resources: ['Account::"a2"'] })
    const [, handed] = above.steps
    expect(above.entries[1]).toMatchObject({ handed_on: { agent: 'Agent::"helper"', session: child.session } })
    expect(below.entries).toMatchObject([
      { inherited: { seq: 2, hash: handed?.hash, line: [{ agent: 'Agent::"clerk"', session: 's1' }] } },
    ])
  })

  it('tells its parent what it learned before the answer counts', async () => {
    const parent = await clerk()
    const child = await childOf(parent, 'helper')
    expect(await reasonOf(parent, 'mail')).toBe('permitted')
    expect(await reasonOf(child, 'view')).toBe('permitted')
    expect(await reasonOf(parent, 'mail')).toBe('forbidden')

    const [above, below] = [await trace(parent), await trace(child)]
    expect(above.wrong).toBeUndefined()
    expect(above.state).toMatchObject({ level: 2, steps: 1, classes: ['confidential'] })
    const { hash } = below.steps.at(-1) ?? {}
    expect(above.entries.at(-1)).toMatchObject({
      told: { by: { agent: 'Agent::"helper"', session: child.session, seq: 2, hash }, news: { level: 2 } },
    })
  })

  it('tells the whole line, up to the root', async () => {
    const root = await clerk()
    const middle = await childOf(root, 'helper')
    const leaf = await childOf(middle, 'runner')
    expect(await reasonOf(leaf, 'view')).toBe('permitted')
    for (const each of [leaf, middle, root]) expect(await reasonOf(each, 'mail')).toBe('forbidden')
    expect(between.calls).toEqual(['told', 'told'])
  })

  it('is one of its own: another task, or the same agent at work for another, knows nothing of it', async () => {
    const parent = await clerk()
    const [one, other] = [await childOf(parent, 'helper'), await childOf(await clerk('s2'), 'helper')]
    expect(await reasonOf(one, 'view')).toBe('permitted')
    expect(await reasonOf(other, 'mail')).toBe('permitted')
    expect(await reasonOf(await clerk('s2'), 'mail')).toBe('permitted')
  })

  it('is shared by tasks of the same agent', async () => {
    const parent = await clerk()
    const task = { ...parent, from: await delegate(world, parent.from) }
    expect(await reasonOf(task, 'view')).toBe('permitted')
    expect(await reasonOf(parent, 'mail')).toBe('forbidden')
    const child = await childOf(parent, 'helper')
    const further = { ...child, from: await delegate(world, child.from) }
    expect(await reasonOf(further, 'view')).toBe('permitted')
    expect(between.calls).toEqual([])
  })

  it('is judged where a gateway names it, and tells of that too', async () => {
    const parent = await clerk()
    const child = await childOf(parent, 'helper')
    const token = await world.pepToken()
    const context = { session_id: child.session }
    expect((await world.evaluate({ ...asked('helper', 'view'), context }, { token })).decision).toBe(true)
    expect(await reasonOf(parent, 'mail')).toBe('forbidden')
  })

  it('is stopped with any session that it comes from, whoever asks', async () => {
    const root = await clerk()
    const leaf = await childOf(await childOf(root, 'helper'), 'runner')
    const admin = { token: await world.token({ roles: ['admin'] }) }
    const kill = { target: { kind: 'session', id: 's1' }, agent: { type: 'Agent', id: 'runner' }, reason: 'r' }
    expect((await world.post('/v1/kills', kill, admin)).status).toBe(200)
    expect(await reasonOf(leaf, 'view')).toBe('killed')
    const token = await world.pepToken()
    const context = { session_id: leaf.session }
    expect((await world.evaluate({ ...asked('runner', 'view'), context }, { token })).context.reason).toBe('killed')
  })

  it('decides nothing where it lost what it comes from, or that was tampered with', async () => {
    const parent = await clerk()
    const change = (statement: string) =>
      runInDurableObject(world.object('helper'), (_, { storage }) => void storage.sql.exec(statement))
    const one = await childOf(parent, 'helper')
    await change(`UPDATE session SET line = '[]'`)
    expect(await reasonOf(one, 'view')).toBe('session_tampered')
    const other = await childOf(parent, 'helper')
    await change('DELETE FROM session')
    expect(await reasonOf(other, 'view')).toBe('session_unlinked')
    expect(await refusalOf(delegate(world, other.from, { agent: 'runner' }))).toBe('session_unlinked')
  })

  it('has no token before its object has taken in what it begins with', async () => {
    const cut = new Proxy(env.AGENT, {
      get: (namespace, name) => {
        if (name !== 'getByName') return Reflect.get(namespace, name)
        return (of: string) =>
          new Proxy(namespace.getByName(of), {
            get: (stub, method) => {
              if (method === 'begin') return () => Promise.reject(new Error('out of reach'))
              return Reflect.get(stub, method)
            },
          })
      },
    })
    const { send } = createIsolate({}, { AGENT: cut })
    const attempt = delegate(world, (await clerk()).from, { agent: 'helper', send })
    expect(await refusalOf(attempt)).toBe('control_unreachable')
  })
})

describe('while the parent cannot be reached', () => {
  const retry = { headers: { 'idempotency-key': 'k1' } }

  it.each(['lost', 'unanswered'] as const)(
    'a child that learned something is not answered as allowed; the retry gets what was decided (call %s)',
    async fate => {
      const parent = await clerk()
      const child = await childOf(parent, 'helper')
      between.fate = () => fate
      const refused = await ask(child, 'view', retry)
      expect(refused).toMatchObject({ outcome: 'deny', reason: 'control_unreachable', recorded: false })
      // nor is anything else that rests on the same
      expect(await reasonOf(child, 'view')).toBe('control_unreachable')
      between.fate = () => 'whole'
      const allowed = await ask(child, 'view', retry)
      expect(allowed).toMatchObject({ outcome: 'allow', evaluation_id: refused.evaluation_id })
      expect(await reasonOf(parent, 'mail')).toBe('forbidden')
      const told = (await trace(parent)).entries.filter(entry => 'told' in entry)
      expect(told).toHaveLength(1)
    },
  )

  it('a link further up holds the answer back just the same', async () => {
    const root = await clerk()
    const middle = await childOf(root, 'helper')
    const leaf = await childOf(middle, 'runner')
    // the first call gets through, the one that it makes doesn't
    between.fate = () => (between.calls.length % 2 === 1 ? 'whole' : 'lost')
    expect(await reasonOf(leaf, 'view', retry)).toBe('control_unreachable')
    // the middle knows by now, and may not act on it before the root does
    expect((await trace(middle)).state?.level).toBe(2)
    between.fate = () => 'lost'
    expect(await reasonOf(middle, 'view')).toBe('control_unreachable')
    expect(await refusalOf(delegate(world, middle.from, { agent: 'runner' }))).toBe('control_unreachable')
    between.fate = () => 'whole'
    expect(await reasonOf(leaf, 'view', retry)).toBe('permitted')
    expect(await reasonOf(root, 'mail')).toBe('forbidden')
  })

  it('what a child does that tells nothing new is answered, and so are denials', async () => {
    const parent = await clerk()
    await ask(parent, 'view')
    const child = await childOf(parent, 'helper')
    between.fate = () => 'lost'
    expect(await reasonOf(child, 'view')).toBe('permitted')
    expect(await reasonOf(child, 'mail')).toBe('forbidden')
  })

  it('the alarm tells what no answer waited for', async () => {
    const parent = await clerk()
    const child = await childOf(parent, 'helper')
    between.fate = () => 'lost'
    await ask(child, 'view')
    between.fate = () => 'whole'
    expect(await reasonOf(parent, 'mail')).toBe('permitted')
    clock.advance(2_000)
    await runDurableObjectAlarm(world.object('helper'))
    expect(await reasonOf(parent, 'mail')).toBe('forbidden')
  })
})

describe('what policies do not read', () => {
  it('is told by the alarm, and no answer waits for it', async () => {
    world = await createWorld({
      folder: 'bank',
      // policies that know the level and nothing else
      change: bundle => {
        const Session = { type: 'Record', attributes: { level: { type: 'Long' } } } as const
        const spaces = Object.entries(bundle.schema)
        bundle.schema = Object.fromEntries(
          spaces.map(([name, space]) => [name, { ...space, commonTypes: { Session } }]),
        )
      },
    })
    const parent = await clerk()
    const child = await childOf(parent, 'helper')
    between.fate = () => 'lost'
    expect(await reasonOf(child, 'mail')).toBe('permitted')
    expect(await reasonOf(child, 'view')).toBe('control_unreachable')
    between.fate = () => 'whole'
    clock.advance(2_000)
    await runDurableObjectAlarm(world.object('helper'))
    expect((await trace(parent)).state).toMatchObject({ actions: ['mail', 'view'], level: 2 })
  })
})

describe('a policy about the whole tree', () => {
  it('knows what siblings did since, which one about the session does not', async () => {
    const root = await clerk()
    const [one, other] = [await childOf(root, 'helper'), await childOf(root, 'runner')]
    expect(await reasonOf(other, 'post')).toBe('permitted')
    expect(await reasonOf(one, 'view')).toBe('permitted')
    expect(await reasonOf(other, 'mail')).toBe('permitted')
    const before = await trace(root)
    expect(await reasonOf(other, 'post')).toBe('forbidden')
    // what the root said is on record, and stays the root's
    const [last] = (await world.receipts('runner')).slice(-1)
    const { seq, hash } = before.steps.at(-1) ?? {}
    expect(JSON.parse(last?.body ?? '').decision.tree).toEqual({ agent: 'Agent::"clerk"', seq, hash })
    expect((await trace(other)).state?.level).toBe(-1)
    expect(await reasonOf(root, 'post')).toBe('forbidden')
  })

  it('is not judged while the root cannot be reached, and not without it', async () => {
    const root = await clerk()
    const child = await childOf(root, 'helper')
    between.fate = method => (method === 'remembered' ? 'lost' : 'whole')
    expect(await ask(child, 'post')).toMatchObject({ reason: 'control_unreachable', recorded: false })
    expect(await reasonOf(child, 'mail')).toBe('permitted')
    expect(await reasonOf(root, 'post')).toBe('permitted')
    between.fate = () => 'whole'
    expect(await reasonOf(child, 'post')).toBe('permitted')
    const forget = (statement: string) =>
      runInDurableObject(world.object(), (_, { storage }) => void storage.sql.exec(statement))
    await forget(`UPDATE session SET state = replace(state, '-1', '-2')`)
    expect(await reasonOf(child, 'post')).toBe('session_tampered')
    await forget('DELETE FROM session')
    expect(await reasonOf(child, 'post')).toBe('session_unlinked')
  })

  it('lets a search in a child session find what the tree permits, and nothing while the root cannot be reached', async () => {
    const root = await clerk()
    const [child, other] = [await childOf(root, 'helper'), await childOf(root, 'runner')]
    const path = '/access/v1/search/resource'
    const search = async ({ agent, from }: Worker) => {
      const own = typeof from === 'string' ? { token: from } : await sending(world, from, path)
      const query = {
        subject: { type: 'Agent', id: agent },
        action: { name: 'post', properties: outside },
        resource: { type: 'Mailbox' },
      }
      const { results, context }: { results: unknown[]; context: { reason?: string; recorded: boolean } } = await (
        await world.post(path, query, own)
      ).json()
      return { found: results.length, recorded: context.recorded, reason: context.reason }
    }
    const [one, none] = [1, 0].map(found => ({ found, recorded: true }))
    for (const worker of [root, child, other]) expect(await search(worker)).toEqual(one)
    expect(await reasonOf(child, 'view')).toBe('permitted')
    const { seq, hash } = (await trace(root)).steps.at(-1) ?? {}
    for (const worker of [root, child, other]) expect(await search(worker)).toEqual(none)
    const [last] = (await world.receipts('runner')).slice(-1)
    expect(JSON.parse(last?.body ?? '').search.tree).toEqual({ agent: 'Agent::"clerk"', seq, hash })

    between.fate = method => (method === 'remembered' ? 'lost' : 'whole')
    expect(await search(other)).toEqual({ found: 0, recorded: false, reason: 'control_unreachable' })
    between.fate = () => 'whole'
    await runInDurableObject(
      world.object(),
      (_, { storage }) => void storage.sql.exec(`UPDATE session SET state = replace(state, 'a2', 'a1')`),
    )
    expect(await search(other)).toEqual({ ...none, reason: 'session_tampered' })
  })
})

describe('the example tenant', () => {
  const letter = {
    subject: { type: 'Agent', id: 'support-bot' },
    action: { name: 'sendEmail', properties: { to: 'kim@customer.example', subject: 's', body: 'b' } },
    resource: { type: 'Mailbox', id: 'support' },
  }
  const look = {
    subject: { type: 'Agent', id: 'support-bot' },
    action: { name: 'viewCustomer', properties: { fields: ['name', 'email'] } },
    resource: { type: 'Customer', id: 'c-17' },
  }
  const by = { subject: { type: 'Agent', id: 'case-runner' } }
  const begin = async () => {
    world = await createWorld({ folder: 'acme' })
    const token = await world.agentToken('support-bot', { user: { type: 'User', id: 'ada' }, sid: 's1' })
    return { token, child: await delegate(world, token, { agent: 'case-runner' }) }
  }
  const asked = async (by: string | Delegated, what: object) => {
    const own = typeof by === 'string' ? { token: by } : await sending(world, by, PATH)
    return (await answerIn(await world.post(PATH, what, own))).context.reason
  }

  it('mails nothing to the outside once a child has read what is confidential', async () => {
    const { token, child } = await begin()
    expect(await asked(token, letter)).toBe('permitted')
    expect(await asked(child, { ...look, ...by })).toBe('permitted')
    expect(await asked(token, letter)).toBe('forbidden')
  })

  it('nor does a child, once its parent or another child has', async () => {
    const { token, child } = await begin()
    const other = await delegate(world, token, { agent: 'case-runner' })
    expect(await asked(child, { ...letter, ...by })).toBe('permitted')
    expect(await asked(other, { ...look, ...by })).toBe('permitted')
    expect(await asked(child, { ...letter, ...by })).toBe('forbidden')

    const again = await begin()
    expect(await asked(again.token, look)).toBe('permitted')
    expect(await asked(again.child, { ...letter, ...by })).toBe('forbidden')
  })
})
