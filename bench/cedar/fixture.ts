import type { CedarValueJson, EntityJson, EntityUid, PolicyJson, PolicySetJson } from '../../src/cedar/json.ts'

/**
 * A bundle as a company would have it: rules for everyone, and for each team grants to its group, to its agent, and
 * links of a template. Only the number of teams grows, so each request matches the same policies at every size.
 */
export interface Fixture {
  readonly policies: PolicySetJson
  readonly entities: readonly EntityJson[]
  readonly requests: readonly FixtureRequest[]
}

export interface FixtureRequest {
  readonly principal: EntityUid
  readonly action: EntityUid
  readonly resource: EntityUid
  readonly context: { readonly [name: string]: CedarValueJson }
  /** The entities that this request needs, and no others. */
  readonly entities: readonly EntityJson[]
}

export const GLOBAL_POLICIES = 4
export const POLICIES_PER_TEAM = 4
const TEAMS_ASKING = 4

export function fixture(size: number): Fixture {
  const teams = (size - GLOBAL_POLICIES) / POLICIES_PER_TEAM
  const staticPolicies: Record<string, PolicyJson> = { ...globalPolicies() }
  const templateLinks = []
  for (let team = 0; team < teams; team++) {
    Object.assign(staticPolicies, teamPolicies(team))
    templateLinks.push({
      templateId: 'share',
      newId: `share-${team}`,
      values: { '?principal': uid('Agent', `agent-${team}`), '?resource': uid('Folder', `folder-${team}`) },
    })
  }
  const entities = [...ACTIONS, ...Array.from({ length: teams }, (_, team) => teamEntities(team)).flat()]
  const requests = Array.from({ length: TEAMS_ASKING }, (_, team) => teamRequests(team)).flat()
  return { policies: { staticPolicies, templates: { share: SHARE }, templateLinks }, entities, requests }
}

const ACTIONS: readonly EntityJson[] = [
  ...['read', 'list'].map(id => entity('Action', id, {}, [uid('Action', 'view')])),
  ...['view', 'refund', 'share', 'delete'].map(id => entity('Action', id, {}, [])),
]

const SHARE: PolicyJson = {
  effect: 'permit',
  principal: { op: '==', slot: '?principal' },
  action: { op: '==', entity: uid('Action', 'share') },
  resource: { op: 'in', slot: '?resource' },
  conditions: [{ kind: 'unless', body: attr(variable('resource'), 'confidential') }],
}

/** permit (read public), forbid (suspended), forbid (large refunds), forbid (outside the office network). */
function globalPolicies(): Record<string, PolicyJson> {
  return {
    'read-public': {
      effect: 'permit',
      principal: { op: 'is', entity_type: 'Agent' },
      action: { op: 'in', entity: uid('Action', 'view') },
      resource: { op: 'All' },
      conditions: [{ kind: 'when', body: both(has('resource', 'public'), attr(variable('resource'), 'public')) }],
    },
    suspended: {
      effect: 'forbid',
      principal: { op: 'All' },
      action: { op: 'All' },
      resource: { op: 'All' },
      conditions: [{ kind: 'when', body: attr(variable('principal'), 'suspended') }],
    },
    'large-refund': {
      effect: 'forbid',
      principal: { op: 'All' },
      action: { op: '==', entity: uid('Action', 'refund') },
      resource: { op: 'is', entity_type: 'Order' },
      conditions: [
        { kind: 'when', body: { '>': { left: attr(variable('context'), 'amount'), right: { Value: 10_000 } } } },
      ],
    },
    network: {
      effect: 'forbid',
      principal: { op: 'All' },
      action: { op: 'in', entities: [uid('Action', 'delete'), uid('Action', 'refund')] },
      resource: { op: 'All' },
      conditions: [
        {
          kind: 'unless',
          body: { isInRange: [attr(variable('context'), 'address'), { ip: [{ Value: '10.0.0.0/8' }] }] },
        },
      ],
    },
  }
}

function teamPolicies(team: number): Record<string, PolicyJson> {
  return {
    [`read-${team}`]: {
      effect: 'permit',
      principal: { op: 'in', entity: uid('Group', `group-${team}`) },
      action: { op: 'in', entity: uid('Action', 'view') },
      resource: { op: 'in', entity: uid('Folder', `folder-${team}`) },
      conditions: [
        {
          kind: 'when',
          body: {
            '||': {
              left: { '==': { left: attr(variable('resource'), 'owner'), right: variable('principal') } },
              right: { contains: { left: attr(variable('resource'), 'labels'), right: { Value: 'shared' } } },
            },
          },
        },
      ],
    },
    [`refund-${team}`]: {
      effect: 'permit',
      principal: { op: '==', entity: uid('Agent', `agent-${team}`) },
      action: { op: '==', entity: uid('Action', 'refund') },
      resource: { op: 'is', entity_type: 'Order' },
      conditions: [
        {
          kind: 'when',
          body: both(
            { '<=': { left: attr(variable('context'), 'amount'), right: attr(variable('principal'), 'limit') } },
            { like: { left: attr(variable('context'), 'reason'), pattern: [{ Literal: 'order ' }, 'Wildcard'] } },
          ),
        },
      ],
    },
    [`delete-${team}`]: {
      effect: 'forbid',
      principal: { op: 'is', entity_type: 'Agent', in: { entity: uid('Group', `group-${team}`) } },
      action: { op: '==', entity: uid('Action', 'delete') },
      resource: { op: 'All' },
      conditions: [],
    },
  }
}

function teamEntities(team: number): EntityJson[] {
  const owner = { __entity: uid('Agent', `agent-${team}`) }
  const file = { owner, public: false, confidential: team % 2 === 0, labels: ['internal', 'shared', `team-${team}`] }
  return [
    entity('Agent', `agent-${team}`, { suspended: false, limit: 500 }, [uid('Group', `group-${team}`)]),
    entity('Group', `group-${team}`, {}, [uid('Group', 'staff')]),
    entity('Folder', `folder-${team}`, {}, [uid('Folder', 'root')]),
    entity('File', `file-${team}`, file, [uid('Folder', `folder-${team}`)]),
    entity('Order', `order-${team}`, { total: 120 }, []),
  ]
}

function teamRequests(team: number): FixtureRequest[] {
  const entities = [...ACTIONS, ...teamEntities(team)]
  const principal = uid('Agent', `agent-${team}`)
  const file = uid('File', `file-${team}`)
  const address: CedarValueJson = { __extn: { fn: 'ip', arg: '10.1.2.3' } }
  const context = { amount: 120 + team * 200, reason: 'order 17 came late', address }
  return [
    { principal, action: uid('Action', 'read'), resource: file, context, entities },
    { principal, action: uid('Action', 'refund'), resource: uid('Order', `order-${team}`), context, entities },
    { principal, action: uid('Action', 'share'), resource: file, context, entities },
    { principal, action: uid('Action', 'delete'), resource: file, context, entities },
  ]
}

type Expr = PolicyJson['conditions'][number]['body']

function uid(type: string, id: string): EntityUid {
  return { type, id }
}

function entity(type: string, id: string, attrs: EntityJson['attrs'], parents: readonly EntityUid[]): EntityJson {
  return { uid: { type, id }, attrs, parents }
}

function variable(name: 'principal' | 'resource' | 'context'): Expr {
  return { Var: name }
}

function attr(left: Expr, name: string): Expr {
  return { '.': { left, attr: name } }
}

function has(name: 'principal' | 'resource' | 'context', attribute: string): Expr {
  return { has: { left: variable(name), attr: attribute } }
}

function both(left: Expr, right: Expr): Expr {
  return { '&&': { left, right } }
}
