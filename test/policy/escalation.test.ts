import { describe, expect, it } from 'vitest'
import { readAnnotations } from '../../src/policy/annotations.ts'
import { escalationOf } from '../../src/policy/escalation.ts'

const read = (annotations: Record<string, string>, effect: 'permit' | 'forbid' = 'forbid') =>
  readAnnotations({ id: 'p', effect, textHash: 'h' }, Object.entries({ id: 'p', ...annotations }))

describe('annotations of a forbid that humans may lift', () => {
  it('say who, how many, how long and what may stand', () => {
    const { rule, problems } = read({
      escalate: 'finance',
      approvals: '2',
      expires: '8h',
      valid: '30m',
      remind: '1h',
      chain: 'leads after 2h, directors after 4h',
      reason_required: 'requester, approver',
      sign_in: '',
      standing: 'session, arguments.amount, any resource, max 20, for 7d',
    })
    expect(problems).toEqual([])
    expect(escalationOf(rule)).toEqual({
      group: 'finance',
      approvals: 2,
      expiresMs: 8 * 3_600_000,
      validMs: 30 * 60_000,
      remindMs: 3_600_000,
      chain: [
        { group: 'leads', afterMs: 2 * 3_600_000 },
        { group: 'directors', afterMs: 4 * 3_600_000 },
      ],
      reasons: { requester: true, approver: true },
      signIn: true,
      standing: {
        session: true,
        ranges: ['amount'],
        anyResource: true,
        anyArguments: false,
        max: 20,
        forMs: 7 * 86_400_000,
      },
      groupable: true,
    })
  })

  it('have defaults: one of the group, within four hours, for an hour, nothing standing', () => {
    expect(escalationOf(read({ escalate: 'finance' }).rule)).toEqual({
      group: 'finance',
      approvals: 1,
      expiresMs: 4 * 3_600_000,
      validMs: 3_600_000,
      chain: [],
      reasons: { requester: false, approver: false },
      signIn: false,
      groupable: true,
    })
  })

  it.each([
    ['escalate', ''],
    ['escalate', 'two words'],
    ['approvals', '0'],
    ['approvals', 'two'],
    ['expires', '4 hours'],
    ['expires', '31d'],
    ['remind', '5h'],
    ['chain', 'leads'],
    ['chain', 'leads after 2h, directors after 1h'],
    ['chain', 'leads after 4h'],
    ['reason_required', 'everyone'],
    ['sign_in', 'please'],
    ['standing', 'max 3, for 1d'],
    ['standing', 'session, for 1d'],
    ['standing', 'session, max 3'],
    ['standing', 'session, max 3, for 1d, everything'],
  ])('@%s("%s") is refused', (annotation, text) => {
    const { problems } = read({ escalate: 'finance', [annotation]: text })
    expect(problems).toEqual([expect.objectContaining({ annotation })])
  })

  it('mean nothing without @escalate, and nothing on a permit', () => {
    expect(read({ remind: '5m' }).problems).toEqual([expect.objectContaining({ annotation: 'remind' })])
    expect(read({ escalate: 'finance' }, 'permit').problems).toEqual([
      expect.objectContaining({ annotation: 'escalate', message: "@escalate can't stand on a permit" }),
    ])
  })
})
