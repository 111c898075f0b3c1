/** What a caller states in `context` to be given decisions that rewrite (AuthZEN Obligations Profile, draft 1). */
export const APPLIES_OBLIGATIONS = { supported_obligations: ['custom'] } as const

type Obligation = { id: string; type: string; properties: { [name: string]: unknown } }

/** How an allowed action is to be done. */
export type Compliance = {
  /** The arguments to use: the permit is for these. */
  arguments: { [name: string]: unknown }
  /** The result with what must not be seen set to null, wherever in it that stands. */
  keepBack: <T>(result: T) => T
  /** Fields of the request's context that the tool puts into its own log. */
  log: readonly string[]
  /** By when the outcome must be reported, and where. */
  report?: { dueAt: string; path: string }
}

/**
 * What the obligations of an answer's context ask, or `undefined` where one of them is unknown here or malformed: then
 * the action is denied, whatever `decision` says (the profile, Non-Compliance).
 */
export const comply = (
  context: { readonly obligations?: unknown },
  args: { [name: string]: unknown } = {},
): Compliance | undefined => {
  const obligations = context.obligations ?? []
  if (!Array.isArray(obligations)) return undefined
  let used = args
  const fields: string[][] = []
  const log: string[] = []
  let report: Compliance['report']
  for (const obligation of obligations) {
    if (!isObligation(obligation)) return undefined
    const { type, properties } = obligation
    if (type !== 'custom' || properties.vendor !== 'countersign') return undefined
    if (properties.action === 'arguments' && isRecord(properties.arguments)) used = properties.arguments
    else if (properties.action === 'mask' && isTexts(properties.fields)) {
      fields.push(...properties.fields.map(field => field.split('.')))
    } else if (properties.action === 'log' && isTexts(properties.fields)) {
      log.push(...properties.fields)
    } else if (
      properties.action === 'report' &&
      typeof properties.due_at === 'string' &&
      typeof properties.path === 'string'
    ) {
      report = { dueAt: properties.due_at, path: properties.path }
    } else return undefined
  }
  return { arguments: used, keepBack: result => fields.reduce(without, result), log, ...(report && { report }) }
}

/** A copy in which what the path leads to is null; lists are gone through, and nothing is made that wasn't there. */
const without = <T>(value: T, path: readonly string[]): T => {
  if (Array.isArray(value)) return value.map(item => without(item, path)) as T
  const [name, ...rest] = path
  if (name === undefined || !isRecord(value) || !Object.hasOwn(value, name)) return value
  return { ...value, [name]: rest.length === 0 ? null : without(value[name], rest) }
}

const isRecord = (value: unknown): value is { [name: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(item => typeof item === 'string')

const isObligation = (value: unknown): value is Obligation =>
  isRecord(value) && typeof value.type === 'string' && isRecord(value.properties)
