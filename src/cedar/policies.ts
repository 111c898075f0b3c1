import {
  type ActionScopeJson,
  type EntityUidJson,
  FormatError,
  type PolicyJson,
  type PolicySetJson,
  type ScopeJson,
} from './json.ts'
import type { Body, Constraint, Policy, Scope } from './policy.ts'
import { buildIndex, type Index } from './scope-index.ts'
import type { EntityRef } from './value.ts'
import { entityFromJson } from './value-json.ts'

export interface PolicySet {
  readonly size: number
  get(policyId: string): Policy | undefined
  values(): Iterable<Policy>
  readonly index: Index
}

/** Reads Cedar's JSON format of a policy set. Throws `FormatError`; expressions, though, are read on first use. */
export function loadPolicies(json: PolicySetJson): PolicySet {
  const policies = new Map<string, Policy>()
  const intern = interner()
  for (const [id, policy] of Object.entries(json.staticPolicies ?? {})) {
    add(readPolicy(id, policy, readTemplate(policy), undefined, {}))
  }
  const templates = new Map(Object.entries(json.templates ?? {}).map(([id, policy]) => [id, readTemplate(policy)]))
  for (const { templateId, newId, values } of json.templateLinks ?? []) {
    const template = templates.get(templateId) ?? fail(`link \`${newId}\`: no template \`${templateId}\``)
    for (const slot of Object.keys(values)) {
      if (!slotsOf(template.json).includes(slot)) fail(`link \`${newId}\`: the template has no \`${slot}\``)
    }
    add(readPolicy(newId, template.json, template, templateId, values))
  }
  return {
    size: policies.size,
    get: policyId => policies.get(policyId),
    values: () => policies.values(),
    index: buildIndex([...policies.values()]),
  }

  function add(policy: Policy): void {
    if (policies.has(policy.id)) fail(`two policies \`${policy.id}\``)
    policies.set(policy.id, policy)
  }

  function readPolicy(
    id: string,
    policy: PolicyJson,
    template: Template,
    templateId: string | undefined,
    values: Slots,
  ): Policy {
    const scope: Scope = {
      principal: readScope(policy.principal, values, intern, id),
      action: template.action,
      resource: readScope(policy.resource, values, intern, id),
    }
    const { annotations, body } = template
    return { id, effect: policy.effect, annotations, json: policy, templateId, scope, body }
  }

  function readTemplate(policy: PolicyJson): Template {
    if (policy.effect !== 'permit' && policy.effect !== 'forbid') fail('a policy is `permit` or `forbid`')
    const annotations = Object.entries(policy.annotations ?? {}).map(([k, v]): [string, string] => [k, v ?? ''])
    const action = readAction(policy.action, intern)
    const body: Body = { conditions: policy.conditions, run: undefined }
    return { json: policy, annotations: new Map(annotations), action, body }
  }
}

/** What the links of a template have in common. */
interface Template extends Pick<Policy, 'json' | 'annotations' | 'body'> {
  readonly action: Constraint
}

type Slots = { readonly [slot: string]: EntityUidJson }
type Intern = (json: EntityUidJson) => EntityRef

const ANY: Constraint = { op: 'any' }

function slotsOf({ principal, resource }: PolicyJson): string[] {
  return [principal, resource].flatMap(scope => {
    const constraint = scope.op === 'is' ? scope.in : scope.op === 'All' ? undefined : scope
    return constraint !== undefined && 'slot' in constraint ? [constraint.slot] : []
  })
}

function readScope(json: ScopeJson, slots: Slots, intern: Intern, policyId: string): Constraint {
  switch (json.op) {
    case 'All':
      return ANY
    case '==':
      return { op: '==', entity: entity(json) }
    case 'in':
      return { op: 'in', entities: [entity(json)], type: undefined }
    case 'is':
      return json.in === undefined
        ? { op: 'is', type: json.entity_type }
        : { op: 'in', entities: [entity(json.in)], type: json.entity_type }
    default:
      return fail(`policy \`${policyId}\`: malformed scope`)
  }

  function entity(constraint: { readonly entity: EntityUidJson } | { readonly slot: string }): EntityRef {
    if ('entity' in constraint) return intern(constraint.entity)
    return intern(slots[constraint.slot] ?? fail(`policy \`${policyId}\`: no value for \`${constraint.slot}\``))
  }
}

function readAction(json: ActionScopeJson, intern: Intern): Constraint {
  switch (json.op) {
    case 'All':
      return ANY
    case '==':
      return { op: '==', entity: intern(json.entity) }
    case 'in':
      return {
        op: 'in',
        entities: 'entities' in json ? json.entities.map(intern) : [intern(json.entity)],
        type: undefined,
      }
    default:
      return fail('malformed action scope')
  }
}

/** Thousands of policies name the same few entities; they are kept once. */
function interner(): Intern {
  const known = new Map<string, EntityRef>()
  return json => {
    const entity = entityFromJson(json)
    const same = known.get(entity.key)
    if (same !== undefined) return same
    known.set(entity.key, entity)
    return entity
  }
}

function fail(message: string): never {
  throw new FormatError(message)
}
