import type { EntityStore } from './entities.ts'
import { callExtension, EXTENSIONS } from './extensions.ts'
import { fault, isFault } from './fault.ts'
import type { BinaryName, ClauseJson, Expr, ExtensionName, UnaryName, VarName } from './json.ts'
import { matcher } from './like.ts'
import * as ops from './operators.ts'
import { mismatch, type Outcome } from './outcome.ts'
import { type Node, parse } from './syntax.ts'
import { type CedarRecord, type EntityRef, unknown } from './value.ts'
import { readValue } from './value-json.ts'

/** What an expression is evaluated against. */
export interface Env {
  readonly principal: EntityRef
  readonly action: EntityRef
  readonly resource: EntityRef
  readonly context: CedarRecord
  readonly entities: EntityStore
}

/** A compiled expression: a closure over the closures of its operands. */
export type Run = (env: Env) => Outcome

/** The conditions of a policy as one closure. Never throws: what can't be compiled yields a fault. */
export function compileConditions(conditions: readonly ClauseJson[]): Run {
  try {
    return conditions.map(compileClause).reduceRight((rest, clause) => and(clause, rest), always(true))
  } catch (error) {
    return always(compileFault(error))
  }
}

/** Throws `FormatError` when the JSON is not an expression. */
export function compile(expr: Expr): Run {
  return compileNode(parse(expr)).run
}

/** The closure, and its outcome if that is always the same. */
interface Code {
  readonly run: Run
  readonly constant?: Outcome
}

function compileClause({ kind, body }: ClauseJson): Run {
  const run = compile(body)
  return kind === 'when' ? run : env => ops.not(run(env))
}

function compileFault(error: unknown): Outcome {
  if (error instanceof RangeError) return fault('too_deep', 'the policy nests too deeply')
  return fault('malformed', error instanceof Error ? error.message : String(error))
}

function compileNode(node: Node): Code {
  switch (node.op) {
    case 'value':
      return constant(readValue(node.json))
    case 'var':
      return { run: VARS[node.name] }
    case 'unknown':
      return constant(unknown(node.name))
    case 'unary':
      return unary(node.name, code(node.arg))
    case 'binary':
      return { run: binary(node.name, code(node.left), code(node.right)) }
    case 'getAttr':
      return { run: getAttr(code(node.left).run, node.attr) }
    case 'has':
      return { run: has(code(node.left).run, node.path) }
    case 'like':
      return { run: like(code(node.left).run, matcher(node.pattern)) }
    case 'is': {
      const left = code(node.left).run
      const isType: Run = env => ops.isType(left(env), node.type)
      return { run: node.within === undefined ? isType : and(isType, binary('in', { run: left }, code(node.within))) }
    }
    case 'if':
      return { run: ifThenElse(code(node.test).run, code(node.yes).run, code(node.no).run) }
    case 'set':
      return combine(node.items.map(code), ops.makeSet)
    case 'record':
      return combine(node.items.map(code), items => ops.makeRecord(node.names, items))
    case 'call':
      return call(node.name, node.args.map(code))
  }
}

function code(expr: Expr): Code {
  return compileNode(parse(expr))
}

function constant(outcome: Outcome): Code {
  return { run: always(outcome), constant: outcome }
}

function always(outcome: Outcome): Run {
  return () => outcome
}

const VARS: { readonly [Name in VarName]: Run } = {
  principal: env => env.principal,
  action: env => env.action,
  resource: env => env.resource,
  context: env => env.context,
}

export const UNARY: { readonly [Name in UnaryName]: (arg: Outcome) => Outcome } = {
  '!': ops.not,
  neg: ops.negate,
  isEmpty: ops.isEmpty,
}

function unary(name: UnaryName, { run, constant: value }: Code): Code {
  const apply = UNARY[name]
  return value === undefined ? { run: env => apply(run(env)) } : constant(apply(value))
}

export const BINARY: { readonly [Name in Exclude<BinaryName, '&&' | '||'>]: ops.Binary } = {
  '==': ops.equal,
  '!=': ops.notEqual,
  in: ops.isIn,
  '<': ops.less,
  '<=': ops.lessOrEqual,
  '>': ops.greater,
  '>=': ops.greaterOrEqual,
  '+': ops.add,
  '-': ops.subtract,
  '*': ops.multiply,
  contains: ops.setContains,
  containsAll: ops.containsAll,
  containsAny: ops.containsAny,
  getTag: ops.getTag,
  hasTag: ops.hasTag,
}

function binary(name: BinaryName, { run: left }: Code, { run: right, constant: value }: Code): Run {
  if (name === '&&') return and(left, right)
  if (name === '||') return or(left, right)
  const apply = BINARY[name]
  // Comparing with a literal is what policies do most, and it saves a call.
  if (value !== undefined) return env => apply(left(env), value, env.entities)
  return env => apply(left(env), right(env), env.entities)
}

function and(left: Run, right: Run): Run {
  return env => {
    const first = left(env)
    if (first === false) return false
    if (first !== true) return mismatch('bool', first)
    const second = right(env)
    return typeof second === 'boolean' ? second : mismatch('bool', second)
  }
}

function or(left: Run, right: Run): Run {
  return env => {
    const first = left(env)
    if (first === true) return true
    if (first !== false) return mismatch('bool', first)
    const second = right(env)
    return typeof second === 'boolean' ? second : mismatch('bool', second)
  }
}

function ifThenElse(test: Run, yes: Run, no: Run): Run {
  return env => {
    const answer = test(env)
    return answer === true ? yes(env) : answer === false ? no(env) : mismatch('bool', answer)
  }
}

function getAttr(left: Run, name: string): Run {
  const absent = ops.missingAttr(name)
  return env => ops.getAttr(left(env), name, absent, env.entities)
}

function has(left: Run, path: readonly string[]): Run {
  const [name = '', ...rest] = path
  return rest.length === 0
    ? env => ops.hasAttr(left(env), name, env.entities)
    : env => ops.hasPath(left(env), path, env.entities)
}

function like(left: Run, matches: (text: string) => boolean): Run {
  return env => {
    const text = left(env)
    return typeof text === 'string' ? matches(text) : mismatch('string', text)
  }
}

/** Literals of sets, records and extension values are made once, at compile time. */
function combine(codes: readonly Code[], make: (items: readonly Outcome[]) => Outcome): Code {
  const constants = codes.flatMap(({ constant: value }) => (value === undefined ? [] : [value]))
  if (constants.length === codes.length) return constant(make(constants))
  const runs = codes.map(({ run }) => run)
  return {
    run: env => {
      const items: Outcome[] = []
      for (const run of runs) {
        const item = run(env)
        if (isFault(item)) return item
        items.push(item)
      }
      return make(items)
    },
  }
}

function call(name: ExtensionName, args: readonly Code[]): Code {
  const fn = EXTENSIONS[name]
  const [first, second] = args
  if (fn.arity === 1 && first !== undefined && first.constant === undefined && args.length === 1) {
    const { run } = first
    return { run: env => fn.call(run(env)) }
  }
  if (fn.arity === 2 && first !== undefined && second !== undefined && args.length === 2) {
    const [left, right] = [first.run, second.run]
    return { run: env => fn.call(left(env), right(env)) }
  }
  return combine(args, operands => callExtension(name, operands))
}
