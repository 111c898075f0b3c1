import { beforeEach, describe, expect, it } from 'vitest'
import { nameOf } from '../../src/durable/names.ts'
import type { Bundle } from '../../src/policy/bundle.ts'
import { clock } from '../clock.ts'
import { asking, brief, createWorld, explaining, type World, withoutReads } from '../http/world.ts'
import { createIsolate, type View } from './isolate.ts'

/** Two isolates of one Worker, where KV shows the pointer to one of them late. */

let world: World
let early: ReturnType<typeof createIsolate>
let late: ReturnType<typeof createIsolate>
let token: string
let pep: string
beforeEach(async () => {
  clock.reset()
  world = await createWorld()
  early = createIsolate()
  late = createIsolate()
  token = await world.agentToken()
  pep = await world.pepToken()
})

const ask = (isolate: ReturnType<typeof createIsolate>, name = 'read', more = {}) =>
  world.evaluate(asking(name), { token, send: isolate.send, ...more })
/** KV as it was: the pointer stays what it is now; bodies come as they are. */
const frozen = async (): Promise<View> => {
  const key = nameOf('pointer', world.tenant)
  let pointer: Promise<string | null> | undefined
  const view: View = (asked, read) => {
    if (asked !== key) return read()
    pointer ??= read()
    return pointer
  }
  late.see(view)
  await ask(late)
  return view
}
/** The object has seen the second activation, by way of the other isolate. */
const ahead = async (change: (bundle: Bundle) => void) => {
  await frozen()
  const second = await world.push(change)
  await ask(early)
  late.calls.splice(0)
  late.uses()
  return second
}

describe('an isolate that KV shows an older activation than the object has seen', () => {
  it('reads the newer body by its hash, and decides under it: nothing is denied for being late', async () => {
    const second = await ahead(explaining)
    const answer = await ask(late)
    expect(answer).toMatchObject({ decision: true, context: { reason: 'permitted', bundle: second.hash } })
    expect(late.uses()).toEqual(['object decide', 'kv get', 'object decide'])
  })

  it('decides as the newer policies say', async () => {
    await ahead(withoutReads)
    expect(brief(await ask(late))).toBe('no: not_permitted')
  })

  it('has adopted it: the next decision is one call again', async () => {
    const second = await ahead(explaining)
    await ask(late)
    late.uses()
    expect((await ask(late)).context.bundle).toBe(second.hash)
    expect(late.uses()).toEqual(['object decide'])
  })

  it('never goes back, though the pointer that it reads is still the older one', async () => {
    const second = await ahead(explaining)
    await ask(late)
    for (let times = 0; times < 3; times++) {
      clock.advance(10_000)
      // Another agent, whose object has seen nothing.
      const other = await world.evaluate(asking('read', { subject: { type: 'Agent', id: `helper` } }), {
        token: pep,
        send: late.send,
      })
      expect(other.context.bundle).toBe(second.hash)
    }
  })

  it('denies bundle_stale only where the newer body cannot be read, and decides as soon as it can', async () => {
    const view = await frozen()
    const second = await world.push(explaining)
    await ask(early)
    const body = nameOf('bundle', world.tenant, second.hash)
    for (const lost of [
      async () => null,
      async () => '{"not":"it"}',
      async () => Promise.reject(new Error('KV is down')),
    ]) {
      late.see((key, read) => (key === body ? lost() : view(key, read)))
      const denied = await ask(late)
      expect(denied.context).toMatchObject({ outcome: 'deny', reason: 'bundle_stale', recorded: false })
    }
    late.see(view)
    expect((await ask(late)).context).toMatchObject({ reason: 'permitted', bundle: second.hash })
  })

  it('makes one move for a call: a second staleness in it denies', async () => {
    await ahead(explaining)
    // A few times over, as if there were always another newer one.
    late.meet((call, decide) => decide(late.calls.length > 4 ? call : { ...call, bundle: { ...world.first } }))
    expect(brief(await ask(late))).toBe('no: bundle_stale')
    expect(late.calls).toHaveLength(2)
  })

  it('a batch moves as a whole: items settled before, and those after, each once', async () => {
    await ahead(explaining)
    await world.evaluate(asking('read', { subject: { type: 'Agent', id: 'helper' } }), { token: pep, send: early.send })
    const evaluations = ['clerk', 'helper', 'clerk', 'outsider'].map(id => ({ subject: { type: 'Agent', id } }))
    const before = (await world.receipts()).length
    for (const evaluations_semantic of ['execute_all', 'permit_on_first_permit', 'deny_on_first_deny']) {
      const isolate = createIsolate()
      isolate.see((key, read) =>
        key === nameOf('pointer', world.tenant)
          ? Promise.resolve(JSON.stringify({ v: 1, ...world.first, pushed_at: '2026-11-01T00:00:00Z' }))
          : read(),
      )
      const items = await world.evaluateAll(
        { ...asking('read'), evaluations, options: { evaluations_semantic } },
        { token: pep, send: isolate.send },
      )
      const all = ['allow: permitted', 'allow: permitted', 'allow: permitted', 'no: not_permitted']
      expect(items.map(brief)).toEqual(evaluations_semantic === 'permit_on_first_permit' ? all.slice(0, 1) : all)
    }
    expect(await world.receipts()).toHaveLength(before + 5)
  })

  it('a caller whose issuer is gone in the newer activation is not decided for', async () => {
    await frozen()
    await world.push(bundle => {
      bundle.settings.issuers = bundle.settings.issuers.map(issuer => ({
        ...issuer,
        roles: { ...issuer.roles, allowed: ['pep'] },
      }))
    })
    await world.evaluate(asking('read'), { token: pep, send: early.send })
    const answer = await ask(late)
    expect(answer.decision).toBe(false)
    await world.push(bundle => {
      bundle.settings.issuers = []
    })
    expect(
      (await world.post('/access/v1/evaluation', asking('read'), { token, send: createIsolate().send })).status,
    ).toBe(401)
  })

  it('an agent that the newer activation no longer knows is unknown', async () => {
    await ahead(bundle => {
      bundle.entities = bundle.entities.filter(({ uid }) => !('id' in uid && uid.id === 'clerk'))
    })
    await world.evaluate(asking('read'), { token: pep, send: early.send })
    expect(brief(await ask(late))).toBe('no: unknown_agent')
  })
})

it('a rollback is a newer activation of an older bundle, and is followed', async () => {
  await ahead(withoutReads)
  expect(brief(await ask(late))).toBe('no: not_permitted')
  await world.point({ seq: 3, hash: world.first.hash })
  clock.advance(6_000)
  await ask(early)
  expect(await ask(early)).toMatchObject({ decision: true, context: { bundle: world.first.hash } })
  expect(await ask(late)).toMatchObject({ decision: true, context: { bundle: world.first.hash } })
})

it('two bundles under one seq: the one that the object saw first stands, the other is denied', async () => {
  await ask(early)
  const hash = await world.store(explaining)
  const pointer = JSON.stringify({ v: 1, seq: 1, hash, pushed_at: '2026-11-01T00:00:00Z' })
  late.see((key, read) => (key === nameOf('pointer', world.tenant) ? Promise.resolve(pointer) : read()))
  expect(brief(await ask(late))).toBe('no: bundle_stale')
})

it('past the bound without the pointer, everything is denied; up to it, nothing', async () => {
  await ask(late)
  late.see(() => Promise.reject(new Error('KV is down')))
  clock.advance(119_000)
  expect((await ask(late)).decision).toBe(true)
  clock.advance(1_000)
  const { context } = await ask(late)
  expect(context).toMatchObject({ outcome: 'deny', reason: 'bundle_stale', recorded: false })
})
