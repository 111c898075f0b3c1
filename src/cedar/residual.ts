import type { Fault } from './fault.ts'
import { type BinaryName, type Expr, type ExtensionName, keyed, type PatternElem, type UnaryName } from './json.ts'
import type { Type } from './type.ts'
import { type CedarSet, isOpen, type Value } from './value.ts'
import { valueToJson } from './value-json.ts'

/** What remains of an expression after partial evaluation: Cedar's JSON, with all that is known put in. */
export interface Remainder {
  readonly kind: 'remainder'
  readonly expr: Expr
  /** The type of its value, whatever the unknowns turn out to be; undefined when that isn't certain. */
  readonly type: Type | undefined
  /** Doesn't err, whatever the unknowns turn out to be. */
  readonly safe: boolean
  /** Looks something up in the entity store, or may. */
  readonly entities: boolean
}

/** A value, which may be an unknown or hold some, or what remains of an expression. */
export type Operand = Value | Remainder

export function isRemainder(operand: Operand | Fault): operand is Remainder {
  return typeof operand === 'object' && operand.kind === 'remainder'
}

export function leaveUnary(name: UnaryName, arg: Operand): Remainder {
  const type = name === 'neg' ? LONG : BOOL
  // Negation overflows for one integer.
  const safe = name === '!' ? isBool(arg) : name === 'isEmpty' && kindOf(arg) === 'set'
  return remainder(keyed(name, { arg: exprOf(arg) }), [arg], type, safe)
}

export function leaveBinary(name: BinaryName, left: Operand, right: Operand): Remainder {
  const expr = keyed(name, { left: exprOf(left), right: exprOf(right) })
  const { type, safe, entities = false } = binaryTraits(name, left, right)
  return remainder(expr, [left, right], type, safe, entities)
}

export function leaveAttr(left: Operand, attr: string): Remainder {
  const type = typeOf(left)
  const declared = type?.kind === 'record' ? type.attributes.get(attr) : undefined
  const expr: Expr = { '.': { left: exprOf(left), attr } }
  return remainder(expr, [left], declared?.type, declared?.required === true, type?.kind !== 'record')
}

export function leaveHas(left: Operand, path: readonly string[]): Remainder {
  const [attr = '', ...rest] = path
  const kind = kindOf(left)
  const expr: Expr = { has: { left: exprOf(left), attr: rest.length === 0 ? attr : path } }
  const safe = rest.length === 0 && (kind === 'record' || kind === 'entity')
  return remainder(expr, [left], BOOL, safe, kind !== 'record' || rest.length > 0)
}

export function leaveLike(left: Operand, pattern: readonly PatternElem[]): Remainder {
  return remainder({ like: { left: exprOf(left), pattern } }, [left], BOOL, kindOf(left) === 'string')
}

export function leaveIs(left: Operand, type: string): Remainder {
  return remainder({ is: { left: exprOf(left), entity_type: type } }, [left], BOOL, kindOf(left) === 'entity')
}

export function leaveIf(test: Operand, yes: Operand, no: Operand): Remainder {
  const [yesType, noType] = [typeOf(yes), typeOf(no)]
  // Of the same kind, two records or sets may still differ inside.
  const simple = yesType?.kind === noType?.kind && yesType?.kind !== 'record' && yesType?.kind !== 'set'
  // biome-ignore lint/suspicious/noThenProperty: Cedar's format has it
  const expr: Expr = { 'if-then-else': { if: exprOf(test), then: exprOf(yes), else: exprOf(no) } }
  return remainder(expr, [test, yes, no], simple ? yesType : undefined, isBool(test))
}

export function leaveSet(items: readonly Operand[]): Remainder {
  return remainder({ Set: items.map(exprOf) }, items, undefined, true)
}

export function leaveRecord(names: readonly string[], items: readonly Operand[]): Remainder {
  const fields = items.map((item, i): [string, Expr] => [names[i] ?? '', exprOf(item)])
  return remainder({ Record: Object.fromEntries(fields) }, items, undefined, true)
}

export function leaveCall(name: ExtensionName, args: readonly Operand[]): Remainder {
  const { params, result } = SIGNATURES[name]
  const total = params !== undefined && params.length === args.length
  const safe = total && args.every((arg, i) => kindOf(arg) === params[i])
  return remainder(keyed(name, args.map(exprOf)), args, { kind: result }, safe)
}

/** An expression that errs, and says why. */
export function leaveFault({ code, message }: Fault): Remainder {
  return remainder({ '.': { left: { Record: {} }, attr: `${code}: ${message}` } }, [], undefined, false)
}

export function isSafe(operand: Operand): boolean {
  return isRemainder(operand) ? operand.safe : true
}

export function isBool(operand: Operand): boolean {
  return kindOf(operand) === 'bool'
}

/** Of which type the operand's value will be, if that is certain. */
export function kindOf(operand: Operand): Type['kind'] | undefined {
  switch (typeof operand) {
    case 'boolean':
      return 'bool'
    case 'number':
    case 'bigint':
      return 'long'
    case 'string':
      return 'string'
    default:
      return operand.kind === 'remainder' || operand.kind === 'unknown' ? operand.type?.kind : operand.kind
  }
}

/** The expression whose value this is, in plain JSON: integers beyond 2^53 are written as a call. */
export function exprOf(operand: Operand): Expr {
  if (typeof operand === 'bigint') return { toMilliseconds: [{ duration: [{ Value: `${operand}ms` }] }] }
  if (typeof operand !== 'object') return { Value: operand }
  switch (operand.kind) {
    case 'remainder':
      return operand.expr
    case 'unknown':
      return { unknown: operand.name }
    case 'set':
      return isPlain(operand) ? { Value: valueToJson(operand) } : { Set: operand.items.map(exprOf) }
    case 'record':
      return { Record: Object.fromEntries([...operand.fields].map(([name, field]) => [name, exprOf(field)])) }
    default:
      return { Value: valueToJson(operand) }
  }
}

const BOOL: Type = { kind: 'bool' }
const LONG: Type = { kind: 'long' }

/** `safe` says that the step itself doesn't err, given its operands. */
function remainder(
  expr: Expr,
  operands: readonly Operand[],
  type: Type | undefined,
  safe: boolean,
  entities = false,
): Remainder {
  return {
    kind: 'remainder',
    expr,
    type,
    safe: safe && operands.every(isSafe),
    entities: entities || operands.some(operand => isRemainder(operand) && operand.entities),
  }
}

interface Traits {
  readonly type: Type | undefined
  readonly safe: boolean
  readonly entities?: boolean
}

function binaryTraits(name: BinaryName, left: Operand, right: Operand): Traits {
  const [l, r] = [kindOf(left), kindOf(right)]
  switch (name) {
    case '+':
    case '-':
    case '*':
      return { type: LONG, safe: false }
    case 'getTag':
      return { type: undefined, safe: false, entities: true }
    case 'hasTag':
      return { type: BOOL, safe: l === 'entity' && r === 'string', entities: true }
    case 'in':
      return { type: BOOL, safe: l === 'entity' && (r === 'entity' || isEntitySet(right)), entities: true }
    case '==':
    case '!=':
      return { type: BOOL, safe: true }
    case '&&':
    case '||':
      return { type: BOOL, safe: l === 'bool' && r === 'bool' }
    case 'contains':
      return { type: BOOL, safe: l === 'set' }
    case 'containsAll':
    case 'containsAny':
      return { type: BOOL, safe: l === 'set' && r === 'set' }
    default:
      return { type: BOOL, safe: l === r && (l === 'long' || l === 'datetime' || l === 'duration') }
  }
}

function typeOf(operand: Operand): Type | undefined {
  if (typeof operand === 'object' && (operand.kind === 'remainder' || operand.kind === 'unknown')) return operand.type
  const kind = kindOf(operand)
  return kind === 'bool' || kind === 'long' || kind === 'string' ? { kind } : undefined
}

function isEntitySet(operand: Operand): boolean {
  if (typeof operand === 'object' && operand.kind === 'set') return operand.entities
  const type = typeOf(operand)
  return type?.kind === 'set' && type.element.kind === 'entity'
}

/** Can be one `Value`: no unknowns, no large integers, nothing nested. */
function isPlain({ items }: CedarSet): boolean {
  return items.every(item => {
    if (typeof item !== 'object') return typeof item !== 'bigint'
    return item.kind !== 'set' && item.kind !== 'record' && !isOpen(item)
  })
}

interface Signature {
  readonly result: Exclude<Type['kind'], 'set' | 'record' | 'entity'>
  /** Given where the function has a value for all arguments of these types. */
  readonly params?: readonly Type['kind'][]
}

const COMPARE_DECIMALS: Signature = { result: 'bool', params: ['decimal', 'decimal'] }
const TEST_IP: Signature = { result: 'bool', params: ['ipaddr'] }
const MEASURE: Signature = { result: 'long', params: ['duration'] }

const SIGNATURES: { readonly [Name in ExtensionName]: Signature } = {
  decimal: { result: 'decimal' },
  lessThan: COMPARE_DECIMALS,
  lessThanOrEqual: COMPARE_DECIMALS,
  greaterThan: COMPARE_DECIMALS,
  greaterThanOrEqual: COMPARE_DECIMALS,
  ip: { result: 'ipaddr' },
  isIpv4: TEST_IP,
  isIpv6: TEST_IP,
  isLoopback: TEST_IP,
  isMulticast: TEST_IP,
  isInRange: { result: 'bool', params: ['ipaddr', 'ipaddr'] },
  datetime: { result: 'datetime' },
  duration: { result: 'duration' },
  offset: { result: 'datetime' },
  durationSince: { result: 'duration' },
  toDate: { result: 'datetime' },
  toTime: { result: 'duration', params: ['datetime'] },
  toMilliseconds: MEASURE,
  toSeconds: MEASURE,
  toMinutes: MEASURE,
  toHours: MEASURE,
  toDays: MEASURE,
}
