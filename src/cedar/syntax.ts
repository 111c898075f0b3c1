import { isExtensionName } from './extensions.ts'
import {
  type BinaryName,
  type CedarValueJson,
  type Expr,
  type ExtensionName,
  FormatError,
  isObject,
  type PatternElem,
  type UnaryName,
  type VarName,
} from './json.ts'

/** One step of an expression, with a tag to switch on; its operands are still JSON. */
export type Node =
  | { readonly op: 'value'; readonly json: CedarValueJson }
  | { readonly op: 'var'; readonly name: VarName }
  | { readonly op: 'unknown'; readonly name: string }
  | { readonly op: 'unary'; readonly name: UnaryName; readonly arg: Expr }
  | { readonly op: 'binary'; readonly name: BinaryName; readonly left: Expr; readonly right: Expr }
  | { readonly op: 'getAttr'; readonly left: Expr; readonly attr: string }
  | { readonly op: 'has'; readonly left: Expr; readonly path: readonly string[] }
  | { readonly op: 'like'; readonly left: Expr; readonly pattern: readonly PatternElem[] }
  | { readonly op: 'is'; readonly left: Expr; readonly type: string; readonly within: Expr | undefined }
  | { readonly op: 'if'; readonly test: Expr; readonly yes: Expr; readonly no: Expr }
  | { readonly op: 'set'; readonly items: readonly Expr[] }
  | { readonly op: 'record'; readonly names: readonly string[]; readonly items: readonly Expr[] }
  | { readonly op: 'call'; readonly name: ExtensionName; readonly args: readonly Expr[] }

/** Reads the outermost step of an expression. Throws `FormatError` when it isn't one. */
export function parse(expr: Expr): Node {
  const [entry, second] = isObject(expr) ? Object.entries(expr) : []
  if (entry === undefined || second !== undefined) fail(expr)
  const [key, body] = entry
  if (isExtensionName(key)) return { op: 'call', name: key, args: list(body, expr) }
  switch (key) {
    case 'Value':
      return { op: 'value', json: body as CedarValueJson }
    case 'Var':
      return isVar(body) ? { op: 'var', name: body } : fail(expr)
    case 'unknown':
      return { op: 'unknown', name: text(body, expr) }
    case 'Set':
      return { op: 'set', items: list(body, expr) }
    case 'Record':
      if (!isObject(body)) fail(expr)
      return { op: 'record', names: Object.keys(body), items: Object.values(body) as Expr[] }
  }
  if (!isObject(body)) fail(expr)
  if (isUnary(key)) return { op: 'unary', name: key, arg: operand(body.arg, expr) }
  const left = key === 'if-then-else' ? undefined : operand(body.left, expr)
  if (left === undefined) {
    const [test, yes, no] = [operand(body.if, expr), operand(body.then, expr), operand(body.else, expr)]
    return { op: 'if', test, yes, no }
  }
  if (isBinary(key)) return { op: 'binary', name: key, left, right: operand(body.right, expr) }
  switch (key) {
    case '.':
      return { op: 'getAttr', left, attr: text(body.attr, expr) }
    case 'has':
      return { op: 'has', left, path: path(body.attr, expr) }
    case 'like':
      return { op: 'like', left, pattern: pattern(body.pattern, expr) }
    case 'is': {
      const within = body.in === undefined ? undefined : operand(body.in, expr)
      return { op: 'is', left, type: text(body.entity_type, expr), within }
    }
    default:
      return fail(expr)
  }
}

const VARS: { readonly [Name in VarName]: true } = { principal: true, action: true, resource: true, context: true }
const UNARY: { readonly [Name in UnaryName]: true } = { '!': true, neg: true, isEmpty: true }
const BINARY: { readonly [Name in BinaryName]: true } = {
  '==': true,
  '!=': true,
  in: true,
  '<': true,
  '<=': true,
  '>': true,
  '>=': true,
  '&&': true,
  '||': true,
  '+': true,
  '-': true,
  '*': true,
  contains: true,
  containsAll: true,
  containsAny: true,
  getTag: true,
  hasTag: true,
}

function isVar(name: unknown): name is VarName {
  return typeof name === 'string' && Object.hasOwn(VARS, name)
}

function isUnary(name: string): name is UnaryName {
  return Object.hasOwn(UNARY, name)
}

function isBinary(name: string): name is BinaryName {
  return Object.hasOwn(BINARY, name)
}

function operand(json: unknown, whole: Expr): Expr {
  return isObject(json) ? (json as Expr) : fail(whole)
}

function list(json: unknown, whole: Expr): readonly Expr[] {
  return Array.isArray(json) ? json : fail(whole)
}

function path(json: unknown, whole: Expr): readonly string[] {
  if (!Array.isArray(json)) return [text(json, whole)]
  return json.length === 0 ? fail(whole) : json.map(name => text(name, whole))
}

function pattern(json: unknown, whole: Expr): readonly PatternElem[] {
  if (!Array.isArray(json)) fail(whole)
  return json.map(element => {
    if (element === 'Wildcard') return element
    return isObject(element) ? { Literal: text(element.Literal, whole) } : fail(whole)
  })
}

function text(json: unknown, whole: Expr): string {
  return typeof json === 'string' ? json : fail(whole)
}

function fail(expr: unknown): never {
  const shown =
    JSON.stringify(expr, (_key, value) => (typeof value === 'bigint' ? String(value) : value)) ?? 'undefined'
  throw new FormatError(`not an expression: ${shown.slice(0, 200)}`)
}
