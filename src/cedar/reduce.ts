import { BINARY, UNARY } from './compile.ts'
import { type EntityStore, NO_ENTITIES } from './entities.ts'
import { callExtension } from './extensions.ts'
import { type Fault, fault, isFault } from './fault.ts'
import type { BinaryName, Expr, VarName } from './json.ts'
import { matcher } from './like.ts'
import * as ops from './operators.ts'
import { mismatch, type Outcome } from './outcome.ts'
import * as leave from './residual.ts'
import { isBool, isRemainder, isSafe, type Operand } from './residual.ts'
import { parse } from './syntax.ts'
import { type Unknown, unknown, type Value } from './value.ts'
import { readValue } from './value-json.ts'

/** What an expression is partially evaluated against. */
export interface PartialEnv {
  readonly vars: { readonly [Name in VarName]: Value } | undefined
  /** Undefined where there is no store at hand: what would look something up in it remains. */
  readonly entities: EntityStore | undefined
  /** The value of an unknown, where it is known by now. */
  lookup(name: string): Value | undefined
}

/** A value, a fault that is certain, or what remains. */
export type Reduced = Operand | Fault

/**
 * Evaluates as far as the unknowns allow. Completing what remains gives what evaluating in full would have given,
 * errors included: `e && false` is false only where `e` can't err.
 */
export function reduce(expr: Expr, env: PartialEnv): Reduced {
  const node = parse(expr)
  switch (node.op) {
    case 'value':
      return readValue(node.json)
    case 'var':
      return env.vars?.[node.name] ?? fault('malformed', `nothing says what \`${node.name}\` is`)
    case 'unknown':
      return env.lookup(node.name) ?? unknown(node.name)
    case 'unary': {
      const arg = reduce(node.arg, env)
      return strict(
        [arg],
        ([value = false]) => UNARY[node.name](value),
        ([left = false]) => leave.leaveUnary(node.name, left),
      )
    }
    case 'binary':
      return node.name === '&&'
        ? and(reduce(node.left, env), () => reduce(node.right, env))
        : node.name === '||'
          ? or(reduce(node.left, env), () => reduce(node.right, env))
          : binary(node.name, reduce(node.left, env), reduce(node.right, env), env)
    case 'getAttr':
      return attr(reduce(node.left, env), node.attr, env)
    case 'has':
      return has(reduce(node.left, env), node.path, env)
    case 'like': {
      const text = reduce(node.left, env)
      if (typeof text === 'string') return matcher(node.pattern)(text)
      return isOpen(text) ? leave.leaveLike(text, node.pattern) : mismatched('string', text)
    }
    case 'is': {
      const left = reduce(node.left, env)
      const { within } = node
      if (within === undefined) return isType(left, node.type)
      return and(isType(left, node.type), () => binary('in', left, reduce(within, env), env))
    }
    case 'if':
      return ifThenElse(
        reduce(node.test, env),
        () => reduce(node.yes, env),
        () => reduce(node.no, env),
      )
    case 'set': {
      const items = node.items.map(item => reduce(item, env))
      return strict(items, ops.makeSet, leave.leaveSet)
    }
    case 'record': {
      const items = node.items.map(item => reduce(item, env))
      return strict(
        items,
        values => ops.makeRecord(node.names, values),
        rest => leave.leaveRecord(node.names, rest),
      )
    }
    case 'call': {
      const args = node.args.map(arg => reduce(arg, env))
      return strict(
        args,
        values => callExtension(node.name, values),
        rest => leave.leaveCall(node.name, rest),
      )
    }
  }
}

export function and(left: Reduced, right: () => Reduced): Reduced {
  if (isFault(left) || left === false) return left
  if (left === true) return asBool(right())
  if (!isOpen(left)) return mismatched('bool', left)
  const second = asOperand(right())
  if (second === true && isBool(left)) return left
  if (second === false && isBool(left) && isSafe(left)) return false
  return leave.leaveBinary('&&', left, second)
}

export function isType(left: Reduced, type: string): Reduced {
  if (isUnknown(left) && left.type?.kind === 'entity') return left.type.name === type
  return isOpen(left) ? leave.leaveIs(left, type) : isFault(left) ? left : ops.isType(left, type)
}

export function binary(
  name: Exclude<BinaryName, '&&' | '||'>,
  left: Reduced,
  right: Reduced,
  env: PartialEnv,
): Reduced {
  if (isFault(left)) return left
  if (isFault(right)) return right
  if (!isRemainder(left) && !isRemainder(right)) {
    if ((name === '==' || name === '!=') && differInType(left, right)) return name === '!='
    const outcome = lookUp(name, left, right, env)
    if (outcome !== undefined && !needsUnknown(outcome)) return outcome
  }
  return leave.leaveBinary(name, left, right)
}

/** Undefined where that takes a store that isn't at hand. */
function lookUp(
  name: Exclude<BinaryName, '&&' | '||'>,
  left: Value,
  right: Value,
  { entities }: PartialEnv,
): Outcome | undefined {
  const outcome = BINARY[name](left, right, entities ?? NO_ENTITIES)
  if (entities !== undefined || isFaultOfType(outcome)) return outcome
  if (name === 'getTag' || name === 'hasTag') return undefined
  return name === 'in' && outcome === false ? undefined : outcome
}

function attr(left: Reduced, name: string, { entities }: PartialEnv): Reduced {
  if (isFault(left)) return left
  if (isOpen(left) || (entities === undefined && ops.isEntity(left))) return leave.leaveAttr(left, name)
  return ops.getAttr(left, name, ops.missingAttr(name), entities ?? NO_ENTITIES)
}

function has(left: Reduced, path: readonly string[], env: PartialEnv): Reduced {
  const [name, ...further] = path
  if (name === undefined) return true
  if (isFault(left)) return left
  if (isOpen(left) || (env.entities === undefined && ops.isEntity(left))) return leave.leaveHas(left, path)
  const found = ops.hasAttr(left, name, env.entities ?? NO_ENTITIES)
  return found === true ? has(attr(left, name, env), further, env) : found
}

function or(left: Reduced, right: () => Reduced): Reduced {
  if (isFault(left) || left === true) return left
  if (left === false) return asBool(right())
  if (!isOpen(left)) return mismatched('bool', left)
  const second = asOperand(right())
  if (second === false && isBool(left)) return left
  if (second === true && isBool(left) && isSafe(left)) return true
  return leave.leaveBinary('||', left, second)
}

function ifThenElse(test: Reduced, yes: () => Reduced, no: () => Reduced): Reduced {
  if (isFault(test)) return test
  if (test === true) return yes()
  if (test === false) return no()
  if (!isOpen(test)) return mismatched('bool', test)
  const [first, second] = [asOperand(yes()), asOperand(no())]
  if (isBool(test) && first === true && second === false) return test
  if (isBool(test) && isSafe(test) && typeof first === 'boolean' && first === second) return first
  return leave.leaveIf(test, first, second)
}

/** For steps that evaluate all their operands: an operand that errs for certain makes the whole err. */
function strict(
  operands: readonly Reduced[],
  apply: (values: readonly Value[]) => Outcome,
  remain: (operands: readonly Operand[]) => Reduced,
): Reduced {
  const values: Value[] = []
  const all: Operand[] = []
  for (const operand of operands) {
    if (isFault(operand)) return operand
    if (!isRemainder(operand)) values.push(operand)
    all.push(operand)
  }
  if (values.length < all.length) return remain(all)
  const outcome = apply(values)
  return needsUnknown(outcome) ? remain(all) : outcome
}

/** The operand of `true && …`: what must be a boolean, or else err. */
function asBool(operand: Reduced): Reduced {
  if (isFault(operand) || isBool(operand)) return operand
  return isOpen(operand) ? leave.leaveBinary('&&', true, operand) : mismatched('bool', operand)
}

/** As part of what remains, a fault that is only met on some paths is an expression that errs. */
function asOperand(operand: Reduced): Operand {
  return isFault(operand) ? leave.leaveFault(operand) : operand
}

function isOpen(operand: Reduced): operand is Unknown | Exclude<Operand, Value> {
  return typeof operand === 'object' && (operand.kind === 'unknown' || operand.kind === 'remainder')
}

function isUnknown(operand: Reduced | undefined): operand is Unknown {
  return typeof operand === 'object' && operand.kind === 'unknown'
}

function needsUnknown(outcome: Outcome): boolean {
  return isFault(outcome) && outcome.code === 'unknown'
}

function isFaultOfType(outcome: Outcome): boolean {
  return isFault(outcome) && outcome.code === 'type_mismatch'
}

function mismatched(expected: string, operand: Reduced): Reduced {
  return isRemainder(operand) ? operand : mismatch(expected, operand)
}

/** An unknown of an entity type is no entity of another. */
function differInType(left: Value, right: Value): boolean {
  const [l, r] = [entityType(left), entityType(right)]
  return l !== undefined && r !== undefined && l !== r
}

function entityType(value: Value): string | undefined {
  if (ops.isEntity(value)) return value.type
  return isUnknown(value) && value.type?.kind === 'entity' ? value.type.name : undefined
}
