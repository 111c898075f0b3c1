import { describe, expect, it } from 'vitest'
import type { Program } from '../../src/settle/program.ts'
import { type State, settle } from '../../src/settle/settle.ts'
import { agent, empty, grant, hangsOn, leg, liftable, limit, program, rule, state, user } from './build.ts'

const NOW = 1_000_000
const decide = (given: Program, more: Partial<State> = {}) => settle(given, state(more), NOW)
const spent = (...keys: string[]): Partial<State> => ({ meter: key => (keys.includes(key) ? empty(NOW) : undefined) })
const approving = { approved: () => true }

const permit = rule('permit')
const forbid = rule('forbid')

describe('1. killed or suspended denies', () => {
  it('before anything else', () => {
    const all = program(leg({ permits: [permit], forbids: [rule('error', { error: true })] }))
    expect(decide(all, { suspended: true })).toMatchObject({ outcome: 'deny', reason: 'suspended', policies: [] })
  })
})

describe("2. a true forbid that can't be lifted denies", () => {
  it('whatever permits', () => {
    const settled = decide(program(leg({ permits: [permit], forbids: [forbid] })))
    expect(settled).toMatchObject({ outcome: 'deny', reason: 'forbidden', policies: ['forbid'], charges: [] })
  })

  it("in any principal's leg", () => {
    const settled = decide(program(leg({ permits: [permit] }), leg({ permits: [permit], forbids: [forbid] }, user)))
    expect(settled.reason).toBe('forbidden')
  })

  it('and an error counts as one, even on a forbid that a human may lift, and comes first', () => {
    const forbids = [forbid, rule('error', { error: true, liftable, meters: [limit('m', 5)] })]
    const settled = decide(program(leg({ permits: [permit], forbids })), approving)
    expect(settled).toMatchObject({ outcome: 'deny', reason: 'policy_error', policies: ['error'] })
  })

  it('a metered one only beyond its meter, and says when there is room', () => {
    const metered = program(leg({ permits: [permit], forbids: [rule('rate', { meters: [limit('m', 20)] })] }))
    expect(decide(metered).outcome).toBe('allow')
    expect(decide(metered, spent('m'))).toMatchObject({
      outcome: 'deny',
      reason: 'rate_limited',
      policies: ['rate'],
      retryAfter: 3,
    })
  })

  it('a plain one is named before an exhausted one', () => {
    const forbids = [rule('rate', { meters: [limit('m', 20)] }), forbid]
    expect(decide(program(leg({ permits: [permit], forbids })), spent('m'))).toMatchObject({
      reason: 'forbidden',
      policies: ['forbid'],
    })
  })

  it('waits for the slowest of the exhausted ones', () => {
    const forbids = [rule('a', { meters: [limit('a', 20)] }), rule('b', { meters: [limit('b', 2)] })]
    expect(decide(program(leg({ permits: [permit], forbids })), spent('a', 'b')).retryAfter).toBe(30)
  })
})

describe('3. a leg with no true or unknown permit denies', () => {
  it('where the other legs permit', () => {
    const settled = decide(program(leg({ permits: [permit] }), leg({}, user)))
    expect(settled).toMatchObject({ outcome: 'deny', reason: 'not_permitted', policies: [] })
  })

  it("and nothing lifts a grant's refusal", () => {
    expect(decide(program(leg({ permits: [permit] }), leg({}, grant)), approving).reason).toBe('outside_grant')
  })

  it('where a residual came out false', () => {
    const settled = decide(program(leg({ permits: [rule('p', { when: hangsOn('x') })] })), { finish: () => false })
    expect(settled.reason).toBe('not_permitted')
  })

  it('where the only permit errors', () => {
    expect(decide(program(leg({ permits: [rule('p', { error: true })] }))).reason).toBe('not_permitted')
  })

  it('and so does a program without legs', () => {
    expect(decide(program()).reason).toBe('not_permitted')
  })
})

describe('4. duty fields missing deny', () => {
  const absent = { log: ['ticket', 'why'], absent: ['why'] }

  it('before anything is waited for, naming the fields', () => {
    const asked = program(leg({ permits: [rule('p', { when: hangsOn('x'), duties: absent })] }))
    expect(decide(asked)).toMatchObject({
      outcome: 'deny',
      reason: 'duty_missing',
      policies: ['p'],
      missing: ['context.why'],
    })
  })

  it('where no other permit of the leg does without them', () => {
    const permits = [rule('p', { duties: absent }), permit]
    expect(decide(program(leg({ permits })))).toMatchObject({ outcome: 'allow', policies: [permit.policy] })
  })

  it('where a forbid asks for them, and no approval stands in', () => {
    const forbids = [rule('f', { duties: absent, liftable })]
    expect(decide(program(leg({ permits: [permit], forbids })), approving)).toMatchObject({
      reason: 'duty_missing',
      policies: ['f'],
    })
    const given = [rule('f', { duties: { log: ['ticket'] }, liftable })]
    expect(decide(program(leg({ permits: [permit], forbids: given })))).toMatchObject({
      outcome: 'allow',
      duties: { log: ['ticket'] },
    })
  })

  it('and so do obligations that the caller cannot carry out', () => {
    const permits = [rule('p', { duties: { reportMs: 5, unsupported: true } })]
    expect(decide(program(leg({ permits })))).toMatchObject({ reason: 'obligation_unsupported', policies: ['p'] })
  })
})

describe('an intent whose outcome nobody knows', () => {
  it('is refused, whatever permits it, and after what forbids it', () => {
    const unsettled = { unsettled: true }
    expect(decide(program(leg({ permits: [permit] })), unsettled).reason).toBe('outcome_unknown')
    expect(decide(program(leg({ permits: [permit], forbids: [rule('f')] })), unsettled).reason).toBe('forbidden')
  })
})

describe('5. an unknown forbid, or a leg whose usable permits are all unknown, defers', () => {
  it('naming just those unknowns', () => {
    const settled = decide(
      program(
        leg({ permits: [permit, rule('other', { when: hangsOn('unneeded') })] }),
        leg(
          { permits: [rule('p', { when: hangsOn('total') })], forbids: [rule('f', { when: hangsOn('risk') })] },
          user,
        ),
      ),
    )
    expect(settled).toMatchObject({
      outcome: 'defer',
      reason: 'facts_missing',
      policies: ['f', 'p'],
      missing: ['risk', 'total'],
    })
  })

  it('also where a true permit is exhausted', () => {
    const permits = [rule('a', { meters: [limit('m', 5)] }), rule('b', { when: hangsOn('x') })]
    expect(decide(program(leg({ permits })), spent('m'))).toMatchObject({ outcome: 'defer', missing: ['x'] })
  })

  it('but an unknown forbid whose meter has room does not apply, and is charged', () => {
    const forbids = [rule('rate', { when: hangsOn('x'), meters: [limit('m', 5)] })]
    const settled = decide(program(leg({ permits: [permit], forbids })))
    expect(settled.outcome).toBe('allow')
    expect(settled.charges).toMatchObject([{ meter: { key: 'm' }, level: { tokens: 4 } }])
    expect(decide(program(leg({ permits: [permit], forbids })), spent('m')).outcome).toBe('defer')
  })
})

describe('6. a leg whose true permits are all exhausted denies', () => {
  it('and says when the first of them has room', () => {
    const permits = [rule('a', { meters: [limit('a', 20)] }), rule('b', { meters: [limit('b', 2)] })]
    expect(decide(program(leg({ permits })), spent('a', 'b'))).toMatchObject({
      outcome: 'deny',
      reason: 'rate_limited',
      policies: ['a', 'b'],
      retryAfter: 3,
      charges: [],
    })
  })

  it("and names no time where there never is room, as for a cost beyond the limit's capacity", () => {
    const settled = decide(program(leg({ permits: [rule('a', { meters: [limit('a', 2, 60_000, 3)] })] })))
    expect(settled.reason).toBe('rate_limited')
    expect(settled.retryAfter).toBeUndefined()
  })
})

describe('7. true liftable forbids without approval step up', () => {
  const over500 = rule('over-500', { liftable })

  it('naming those that lack one', () => {
    const forbids = [over500, rule('abroad', { liftable })]
    const approved = (policy: string) => policy === 'abroad'
    expect(decide(program(leg({ permits: [permit], forbids })), { approved })).toMatchObject({
      outcome: 'step_up',
      reason: 'approval_required',
      policies: ['over-500'],
      charges: [],
      lifted: [],
    })
  })

  it('and with approval allow, which consumes it', () => {
    expect(decide(program(leg({ permits: [permit], forbids: [over500] })), approving)).toMatchObject({
      outcome: 'allow',
      lifted: ['over-500'],
    })
  })

  it('a lifted limit is charged all the same', () => {
    const forbids = [rule('rate', { liftable, meters: [limit('m', 5)] })]
    const asked = program(leg({ permits: [permit], forbids }))
    expect(decide(asked, spent('m')).outcome).toBe('step_up')
    expect(decide(asked, { ...spent('m'), ...approving })).toMatchObject({
      outcome: 'allow',
      charges: [{ meter: { key: 'm' }, level: { tokens: -1 } }],
      lifted: ['rate'],
    })
  })

  it("but a grant's forbid is never lifted", () => {
    const settled = decide(
      program(leg({ permits: [permit] }), leg({ permits: [permit], forbids: [over500] }, grant)),
      approving,
    )
    expect(settled.reason).toBe('forbidden')
  })
})

describe('9. else it is allowed', () => {
  it('by one permit of each leg: unmetered before metered, then by id', () => {
    const settled = decide(
      program(
        leg({ permits: [rule('a', { meters: [limit('m', 5)] }), rule('c'), rule('b')] }, agent),
        leg({ permits: [rule('z', { meters: [limit('z', 5)] }), rule('y', { meters: [limit('y', 5)] })] }, user),
      ),
    )
    expect(settled).toMatchObject({ outcome: 'allow', reason: 'permitted', policies: ['b', 'y'] })
    expect(settled.charges.map(({ meter }) => meter.key)).toEqual(['y'])
  })

  it('by the first permit that is affordable', () => {
    const permits = [rule('a', { meters: [limit('a', 5)] }), rule('b', { meters: [limit('b', 5)] })]
    expect(decide(program(leg({ permits })), spent('a')).policies).toEqual(['b'])
  })

  it('and takes a meter that several legs share once', () => {
    const shared = leg({ permits: [rule('p', { meters: [limit('m', 5)] })] })
    expect(decide(program(shared, { ...shared, of: user })).charges).toMatchObject([{ level: { tokens: 4 } }])
  })

  it('and takes matching metered forbids with it', () => {
    const settled = decide(program(leg({ permits: [permit], forbids: [rule('rate', { meters: [limit('m', 20)] })] })))
    expect(settled.charges).toMatchObject([{ meter: { key: 'm' }, level: { tokens: 19 } }])
  })

  it('and leaves metered rules that came out false alone', () => {
    const forbids = [rule('rate', { when: hangsOn('x'), meters: [limit('m', 20)] })]
    expect(decide(program(leg({ permits: [permit], forbids })), { finish: () => false }).charges).toEqual([])
  })
})
