import type { EntityStore } from './entities.ts'
import { errorOf, evaluate, type PolicyError } from './evaluate.ts'
import { type Fault, fault, isFault } from './fault.ts'
import { type ClauseJson, type EntityUid, type Expr, FormatError, isObject } from './json.ts'
import { mismatch } from './outcome.ts'
import type { PolicySet } from './policies.ts'
import type { Constraint, Policy } from './policy.ts'
import { and, binary, isType, type PartialEnv, type Reduced, reduce } from './reduce.ts'
import { exprOf, isRemainder } from './residual.ts'
import { matching, type Named } from './scope-index.ts'
import { type CedarRecord, type EntityRef, entityRef, setOf, type Unknown, unknown, type Value } from './value.ts'

/** A request of which parts are unknown. Unknowns may also stand anywhere inside the context. */
export interface PartialRequest {
  readonly principal: EntityUid | UnknownEntity
  readonly action: EntityUid | UnknownEntity
  readonly resource: EntityUid | UnknownEntity
  readonly context: CedarRecord | Unknown
}

export interface UnknownEntity {
  readonly unknown: string
  /** The entity's type, where that is known. */
  readonly type?: string
}

/** Policies that are false for certain are not listed. */
export interface PartialEvaluation {
  readonly permit: PartialEffects
  readonly forbid: PartialEffects
}

export interface PartialEffects {
  readonly satisfied: readonly string[]
  readonly errored: readonly PolicyError[]
  readonly residual: readonly PolicyResidual[]
}

export interface PolicyResidual extends Residual {
  readonly policyId: string
}

/** What is still to be evaluated: plain JSON that needs neither the policies nor the request. */
export interface Residual {
  readonly kind: 'residual'
  readonly expr: Expr
  /** The names of the unknowns in it. */
  readonly unknowns: readonly string[]
  /** Finishing it takes the entity store too: it asks about the attributes, tags or ancestors of an unknown entity. */
  readonly needsEntities: boolean
}

export type Finished = boolean | Fault | Residual

/**
 * Evaluates as far as the unknowns allow. Where the principal, the action and the resource are known, only policies
 * that meet an unknown cost more than they do in `evaluate`.
 */
export function evaluatePartially(
  policies: PolicySet,
  request: PartialRequest,
  entities: EntityStore,
): PartialEvaluation {
  const results = { permit: noEffects(), forbid: noEffects() }
  const { principal, action, resource, context } = request
  const env = partialEnv(request, entities)
  if (isKnown(principal) && isKnown(action) && isKnown(resource) && context.kind === 'record') {
    const evaluation = evaluate(policies, { principal, action, resource, context }, entities)
    for (const effect of ['permit', 'forbid'] as const) {
      results[effect].satisfied.push(...evaluation[effect].satisfied)
      results[effect].errored.push(...evaluation[effect].errored)
      for (const id of evaluation[effect].unknown) {
        const policy = policies.get(id)
        if (policy !== undefined)
          record(
            policy,
            settle(() => conditions(policy.json.conditions, env)),
          )
      }
    }
    return results
  }
  for (const policy of matching(policies.index, named(env, entities)))
    record(
      policy,
      settle(() => whole(policy, env)),
    )
  return results

  function record(policy: Policy, result: Finished): void {
    const effects = results[policy.effect]
    if (result === true) effects.satisfied.push(policy.id)
    else if (result === false) return
    else if (result.kind === 'fault') effects.errored.push(errorOf(policy, result))
    else effects.residual.push({ policyId: policy.id, ...result })
  }
}

/**
 * Evaluates a residual when more is known. It stands alone: without `entities`, what asks about an entity remains, as it
 * does where `lookup` has no value for an unknown. Never a guess, so what isn't `true` or `false` must not be taken so.
 */
export function finish(
  expr: Expr,
  lookup: (name: string) => Value | undefined,
  entities?: EntityStore,
  request?: PartialRequest,
): Finished {
  const vars = request === undefined ? undefined : partialEnv(request, entities).vars
  return settle(() => reduce(expr, { vars, entities, lookup }))
}

interface MutableEffects extends PartialEffects {
  readonly satisfied: string[]
  readonly errored: PolicyError[]
  readonly residual: PolicyResidual[]
}

function noEffects(): MutableEffects {
  return { satisfied: [], errored: [], residual: [] }
}

function partialEnv(request: PartialRequest, entities: EntityStore | undefined) {
  const { principal, action, resource, context } = request
  const vars = { principal: partOf(principal), action: partOf(action), resource: partOf(resource), context }
  return { vars, entities, lookup: () => undefined } satisfies PartialEnv
}

function partOf(part: EntityUid | UnknownEntity): EntityRef | Unknown {
  if (isKnown(part)) return entityRef(part.type, part.id)
  return unknown(
    part.unknown,
    part.type === undefined ? undefined : { kind: 'entity', name: part.type, ids: undefined },
  )
}

function isKnown(part: EntityUid | UnknownEntity): part is EntityUid {
  return !('unknown' in part)
}

type Env = ReturnType<typeof partialEnv>

function named({ vars }: Env, entities: EntityStore) {
  const place = (part: EntityRef | Unknown): Named =>
    part.kind === 'entity'
      ? { uid: part, entity: entities.get(part.key) }
      : { uid: undefined, type: part.type?.kind === 'entity' ? part.type.name : undefined }
  return { principal: place(vars.principal), action: place(vars.action), resource: place(vars.resource) }
}

/** The scope, then the conditions, as Cedar has it. */
function whole({ scope, json }: Policy, env: Env): Reduced {
  const { principal, action, resource } = env.vars
  return and(inScope(scope.principal, principal, env), () =>
    and(inScope(scope.action, action, env), () =>
      and(inScope(scope.resource, resource, env), () => conditions(json.conditions, env)),
    ),
  )
}

function inScope(constraint: Constraint, part: EntityRef | Unknown, env: Env): Reduced {
  switch (constraint.op) {
    case 'any':
      return true
    case 'is':
      return isType(part, constraint.type)
    case '==':
      return binary('==', part, constraint.entity, env)
    case 'in': {
      const [only, second] = constraint.entities
      const target = only === undefined || second !== undefined ? setOf(constraint.entities) : only
      const within = () => binary('in', part, target, env)
      return constraint.type === undefined ? within() : and(isType(part, constraint.type), within)
    }
  }
}

function conditions(clauses: readonly ClauseJson[], env: Env): Reduced {
  const [first, ...others] = clauses
  if (first === undefined) return true
  const body = first.kind === 'when' ? first.body : { '!': { arg: first.body } }
  return and(reduce(body, env), () => conditions(others, env))
}

/** A policy is satisfied or not; anything but a boolean is an error. */
function settle(evaluate: () => Reduced): Finished {
  try {
    const result = evaluate()
    if (typeof result === 'boolean' || isFault(result)) return result
    if (!isRemainder(result) && !(typeof result === 'object' && result.kind === 'unknown')) {
      return mismatch('bool', result)
    }
    const expr = withoutTrue(exprOf(result))
    return {
      kind: 'residual',
      expr,
      unknowns: [...unknownsIn(expr, new Set())],
      needsEntities: isRemainder(result) && result.entities,
    }
  } catch (error) {
    if (error instanceof RangeError) return fault('too_deep', 'the policy nests too deeply')
    if (error instanceof FormatError) return fault('malformed', error.message)
    throw error
  }
}

/** `true && e` only makes sure that `e` is a boolean, which is asked of the whole anyway. */
function withoutTrue(expr: Expr): Expr {
  if (!('&&' in expr)) return expr
  const { left, right } = expr['&&']
  return 'Value' in left && left.Value === true ? withoutTrue(right) : expr
}

function unknownsIn(json: unknown, names: Set<string>): Set<string> {
  if (Array.isArray(json)) for (const item of json) unknownsIn(item, names)
  if (!isObject(json)) return names
  if (typeof json.unknown === 'string') names.add(json.unknown)
  for (const part of Object.values(json)) unknownsIn(part, names)
  return names
}
