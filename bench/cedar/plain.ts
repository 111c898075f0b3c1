import type { EntityUid, Expr, PolicyJson, PolicySetJson } from '../../src/cedar/json.ts'

/**
 * Rules so plain that every peer can express them: who, what, on which type of thing, and comparisons of the request's
 * attributes with literals. No hierarchy, no attribute compared with another, no addresses, no templates.
 */
export interface PlainRule {
  readonly id: string
  readonly effect: 'permit' | 'forbid'
  /** Undefined: any. */
  readonly agent?: string
  readonly action?: string
  readonly resource?: string
  readonly when: readonly PlainCondition[]
}

export interface PlainCondition {
  readonly attr: string
  readonly op: '==' | '<=' | '>'
  readonly value: number | boolean | string
}

export interface PlainRequest {
  readonly agent: string
  readonly action: string
  readonly resource: string
  readonly context: { readonly [attr: string]: number | boolean | string }
}

export interface Plain {
  readonly rules: readonly PlainRule[]
  readonly requests: readonly PlainRequest[]
}

const PER_TEAM = 4
const TEAMS_ASKING = 4

/** As in the other fixture, only the number of teams grows. */
export function plain(size: number): Plain {
  const teams = size / PER_TEAM - 1
  return {
    rules: [...GLOBAL, ...Array.from({ length: teams }, (_, team) => teamRules(`agent-${team}`)).flat()],
    requests: Array.from({ length: TEAMS_ASKING }, (_, team) => teamRequests(`agent-${team}`, team)).flat(),
  }
}

/** The same rules as Cedar policies. */
export function plainPolicies(rules: readonly PlainRule[]): PolicySetJson {
  return { staticPolicies: Object.fromEntries(rules.map(rule => [rule.id, cedarPolicy(rule)])) }
}

export function plainUids({ agent, action, resource }: PlainRequest) {
  return { principal: uid('Agent', agent), action: uid('Action', action), resource: uid(resource, 'it') }
}

const GLOBAL: readonly PlainRule[] = [
  { id: 'suspended', effect: 'forbid', when: [{ attr: 'suspended', op: '==', value: true }] },
  { id: 'large', effect: 'forbid', action: 'refund', when: [{ attr: 'amount', op: '>', value: 10_000 }] },
  { id: 'delete', effect: 'forbid', action: 'delete', resource: 'Order', when: [] },
  { id: 'public', effect: 'permit', action: 'read', when: [{ attr: 'public', op: '==', value: true }] },
]

function teamRules(agent: string): PlainRule[] {
  const small = { attr: 'amount', op: '<=', value: 500 } as const
  return [
    { id: `read-${agent}`, effect: 'permit', agent, action: 'read', resource: 'File', when: [] },
    {
      id: `refund-${agent}`,
      effect: 'permit',
      agent,
      action: 'refund',
      resource: 'Order',
      when: [small, { attr: 'currency', op: '==', value: 'EUR' }],
    },
    { id: `delete-${agent}`, effect: 'permit', agent, action: 'delete', when: [] },
    { id: `share-${agent}`, effect: 'forbid', agent, action: 'share', when: [] },
  ]
}

function teamRequests(agent: string, team: number): PlainRequest[] {
  const context = { amount: 120 + 200 * team, currency: 'EUR', suspended: false, public: false }
  return [
    { agent, action: 'read', resource: 'File', context },
    { agent, action: 'refund', resource: 'Order', context },
    { agent, action: 'delete', resource: 'Order', context },
    { agent, action: 'share', resource: 'File', context },
  ]
}

function cedarPolicy({ effect, agent, action, resource, when }: PlainRule): PolicyJson {
  return {
    effect,
    principal: agent === undefined ? { op: 'All' } : { op: '==', entity: uid('Agent', agent) },
    action: action === undefined ? { op: 'All' } : { op: '==', entity: uid('Action', action) },
    resource: resource === undefined ? { op: 'All' } : { op: 'is', entity_type: resource },
    conditions: when.map(condition => ({ kind: 'when', body: cedarCondition(condition) })),
  }
}

function cedarCondition({ attr, op, value }: PlainCondition): Expr {
  const operands = { left: { '.': { left: { Var: 'context' }, attr } }, right: { Value: value } } as const
  return op === '==' ? { '==': operands } : op === '<=' ? { '<=': operands } : { '>': operands }
}

function uid(type: string, id: string): EntityUid {
  return { type, id }
}
