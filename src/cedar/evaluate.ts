import type { Env } from './compile.ts'
import type { EntityStore } from './entities.ts'
import { type Fault, type FaultCode, fault } from './fault.ts'
import type { EntityUid } from './json.ts'
import { mismatch } from './outcome.ts'
import type { PolicySet } from './policies.ts'
import { conditionsOf, type Policy } from './policy.ts'
import { matching } from './scope-index.ts'
import { type CedarRecord, entityRef } from './value.ts'

export interface Request {
  readonly principal: EntityUid
  readonly action: EntityUid
  readonly resource: EntityUid
  readonly context: CedarRecord
}

/** Policies that aren't satisfied are not listed; those that are stand in no particular order. */
export interface Evaluation {
  readonly permit: Effects
  readonly forbid: Effects
}

export interface Effects {
  readonly satisfied: readonly string[]
  readonly errored: readonly PolicyError[]
  /** Policies whose answer hangs on an unknown value: partial evaluation has to say. */
  readonly unknown: readonly string[]
}

export interface PolicyError {
  readonly policyId: string
  readonly code: FaultCode
  readonly message: string
}

export interface Authorization {
  readonly decision: 'allow' | 'deny'
  /** The policies that made the decision. */
  readonly reasons: readonly string[]
  readonly errors: readonly PolicyError[]
}

/** Evaluates every policy whose scope matches the request. */
export function evaluate(policies: PolicySet, request: Request, entities: EntityStore): Evaluation {
  const parts = partsOf(request, entities)
  const { principal, action, resource } = parts
  const env: Env = {
    principal: principal.uid,
    action: action.uid,
    resource: resource.uid,
    context: request.context,
    entities,
  }
  const permit = noEffects()
  const forbid = noEffects()
  for (const policy of matching(policies.index, parts)) {
    const outcome = run(policy, env)
    if (outcome === false) continue
    const effects = policy.effect === 'permit' ? permit : forbid
    if (outcome === true) effects.satisfied.push(policy.id)
    else if (outcome.code === 'unknown') effects.unknown.push(policy.id)
    else effects.errored.push(errorOf(policy, outcome))
  }
  return { permit, forbid }
}

/**
 * Cedar's own decision: a satisfied forbid denies, else a satisfied permit allows, else deny; a policy that errs is
 * left out. Throws when the request holds unknowns, as Cedar's answer would then be a guess.
 */
export function authorize(policies: PolicySet, request: Request, entities: EntityStore): Authorization {
  const { permit, forbid } = evaluate(policies, request, entities)
  if (permit.unknown.length + forbid.unknown.length > 0) {
    throw new Error(`the decision hangs on unknowns: ${[...permit.unknown, ...forbid.unknown].join(', ')}`)
  }
  const errors = forbid.errored.length === 0 ? permit.errored : [...permit.errored, ...forbid.errored]
  if (forbid.satisfied.length > 0) return { decision: 'deny', reasons: forbid.satisfied, errors }
  return { decision: permit.satisfied.length > 0 ? 'allow' : 'deny', reasons: permit.satisfied, errors }
}

/** The policies whose scope matches the request, whatever their conditions say. */
export function candidates(
  policies: PolicySet,
  request: Omit<Request, 'context'>,
  entities: EntityStore,
): readonly Policy[] {
  return matching(policies.index, partsOf(request, entities))
}

interface MutableEffects extends Effects {
  readonly satisfied: string[]
  readonly errored: PolicyError[]
  readonly unknown: string[]
}

function noEffects(): MutableEffects {
  return { satisfied: [], errored: [], unknown: [] }
}

/** The entities that the request names. */
function partsOf({ principal, action, resource }: Omit<Request, 'context'>, entities: EntityStore) {
  return {
    principal: partOf(principal, entities),
    action: partOf(action, entities),
    resource: partOf(resource, entities),
  }
}

function partOf(named: EntityUid, entities: EntityStore) {
  const entity = entities.find(named)
  return { uid: entity?.uid ?? entityRef(named.type, named.id), entity }
}

function run(policy: Policy, env: Env): boolean | Fault {
  try {
    const outcome = conditionsOf(policy)(env)
    return typeof outcome === 'boolean' ? outcome : mismatch('bool', outcome)
  } catch (error) {
    // The stack is the only limit on how deep policies nest, and RangeError the only sign of it.
    if (error instanceof RangeError) return fault('too_deep', 'the policy nests too deeply')
    throw error
  }
}

export function errorOf(policy: Policy, { code, message }: Fault): PolicyError {
  return { policyId: policy.id, code, message }
}
