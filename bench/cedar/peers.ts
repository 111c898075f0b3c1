import type { Plain, PlainCondition, PlainRequest, PlainRule } from './plain.ts'

/** The plain rules in the words of each peer, as its documentation would have them written. */
export type Decide = (i: number) => boolean

/**
 * CASL keeps one ability for each user, of that user's rules alone. All are built beforehand; finding a user's rules
 * among all is left to its caller, and takes no part in its time beyond one look-up.
 */
export async function casl({ rules, requests }: Plain): Promise<Decide> {
  const { createMongoAbility, subject } = await import('@casl/ability')
  const general = rules.filter(rule => rule.agent === undefined)
  const byAgent = Map.groupBy(rules, rule => rule.agent)
  const abilities = new Map(
    [...byAgent].map(([agent, own]) => {
      // Later rules win, so what forbids comes last.
      const all = [...general, ...(agent === undefined ? [] : own)].sort((a, b) => rank(a) - rank(b))
      return [agent, createMongoAbility(all.map(caslRule))]
    }),
  )
  const subjects = requests.map(({ resource, context }) => subject(resource, { ...context }))
  return i => {
    const { agent, action } = requestAt(requests, i)
    const thing = subjects[i]
    return thing !== undefined && (abilities.get(agent)?.can(action, thing) ?? false)
  }
}

/** casbin tries every rule in turn, and its `eval` puts each rule's condition into the matcher. */
export async function casbin({ rules, requests }: Plain): Promise<Decide> {
  const { newEnforcer, newModelFromString, StringAdapter } = await import('casbin')
  const lines = rules.map(rule => {
    const { agent = '*', action = '*', resource = '*', effect, when } = rule
    const condition = when.map(({ attr, op, value }) => `r.ctx.${attr} ${op} ${literal(value)}`).join(' && ') || 'true'
    return `p, ${agent}, ${action}, ${resource}, ${effect === 'permit' ? 'allow' : 'deny'}, ${condition}`
  })
  const enforcer = await newEnforcer(newModelFromString(CASBIN_MODEL), new StringAdapter(lines.join('\n')))
  return i => {
    const { agent, action, resource, context } = requestAt(requests, i)
    return enforcer.enforceSync(agent, action, resource, context)
  }
}

const CASBIN_MODEL = `
[request_definition]
r = sub, act, obj, ctx

[policy_definition]
p = sub, act, obj, eft, rule

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.sub == '*' || r.sub == p.sub) && (p.act == '*' || r.act == p.act) && (p.obj == '*' || r.obj == p.obj) && eval(p.rule)
`

/** The SDK reads each condition anew on every request; policies say which agents they are for. */
export async function agentGovernance({ rules, requests }: Plain): Promise<Decide> {
  const { ConflictResolutionStrategy, PolicyEngine } = await import('@microsoft/agent-governance-sdk')
  const engine = new PolicyEngine([], ConflictResolutionStrategy.DenyOverrides)
  for (const [agent, own] of Map.groupBy(rules, rule => rule.agent)) {
    engine.loadPolicy({
      name: agent ?? 'general',
      scope: agent === undefined ? 'global' : 'agent',
      ...(agent === undefined ? {} : { agents: [agent] }),
      default_action: 'deny',
      rules: own.map(governanceRule),
    })
  }
  const contexts = requests.map(({ action, resource, context }) => ({ ...context, act: action, kind: resource }))
  return i => engine.evaluatePolicy(requestAt(requests, i).agent, contexts[i] ?? {}).allowed
}

function requestAt(requests: readonly PlainRequest[], i: number): PlainRequest {
  const request = requests[i]
  if (request === undefined) throw new Error(`no request ${i}`)
  return request
}

function rank({ effect }: PlainRule): number {
  return effect === 'permit' ? 0 : 1
}

function caslRule({ effect, action = 'manage', resource = 'all', when }: PlainRule) {
  const operators = { '==': '$eq', '<=': '$lte', '>': '$gt' }
  const conditions = Object.fromEntries(when.map(({ attr, op, value }) => [attr, { [operators[op]]: value }]))
  return { action, subject: resource, inverted: effect === 'forbid', ...(when.length > 0 && { conditions }) }
}

function governanceRule({ id, effect, action, resource, when }: PlainRule) {
  const scope: PlainCondition[] = []
  if (action !== undefined) scope.push({ attr: 'act', op: '==', value: action })
  if (resource !== undefined) scope.push({ attr: 'kind', op: '==', value: resource })
  const condition = [...scope, ...when].map(({ attr, op, value }) => `${attr} ${op} ${literal(value)}`).join(' and ')
  return { name: id, ruleAction: effect === 'permit' ? ('allow' as const) : ('deny' as const), condition }
}

function literal(value: PlainCondition['value']): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}
