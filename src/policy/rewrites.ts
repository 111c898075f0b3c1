/** What a permit changes of a request, and keeps back of its result. */
export type Rewrites = {
  /** Arguments that get a value, whatever the request says. */
  sets: { argument: string; value: string | number | boolean }[]
  /** Bounds that a number is brought within. */
  clamps: { argument: string; bound: 'least' | 'most'; value: number }[]
  /** Fields of the result that the caller must not see. */
  mask: string[]
}

export const MASK_EXAMPLE = '@mask("resource.ssn,resource.email")'
export const SET_EXAMPLE = '@set("arguments.format = \\"csv\\", arguments.limit = 10")'
export const CLAMP_EXAMPLE = '@clamp("arguments.amount <= 500")'

/** Each of these gives what the text says, or the sentence that tells why it says nothing. */
export const readMask = (text: string): Pick<Rewrites, 'mask'> | string => {
  const mask: string[] = []
  for (const part of text.split(',')) {
    const field = /^resource\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)$/.exec(part.trim())?.[1]
    if (field === undefined) return `@mask(${JSON.stringify(text)}): ${JSON.stringify(part.trim())} is not a field`
    if (mask.includes(field)) return `@mask(${JSON.stringify(text)}) names a field twice`
    mask.push(field)
  }
  return { mask }
}

export const readSet = (text: string): Pick<Rewrites, 'sets'> | string => {
  const sets: Rewrites['sets'] = []
  for (const part of parts(text)) {
    const [, argument, literal] = /^arguments\.([A-Za-z_]\w*)\s*=\s*(.+)$/s.exec(part) ?? []
    const value = literal === undefined ? undefined : scalar(literal)
    if (argument === undefined || value === undefined) {
      return `@set(${JSON.stringify(text)}): ${JSON.stringify(part)} sets no argument`
    }
    if (sets.some(other => other.argument === argument)) return `@set(${JSON.stringify(text)}) sets an argument twice`
    sets.push({ argument, value })
  }
  return { sets }
}

export const readClamp = (text: string): Pick<Rewrites, 'clamps'> | string => {
  const clamps: Rewrites['clamps'] = []
  for (const part of text.split(',')) {
    const [, argument, op, digits] = /^arguments\.([A-Za-z_]\w*)\s*(<=|>=)\s*(-?\d+)$/.exec(part.trim()) ?? []
    if (argument === undefined || !Number.isSafeInteger(Number(digits))) {
      return `@clamp(${JSON.stringify(text)}): ${JSON.stringify(part.trim())} is not a bound`
    }
    const bound = op === '<=' ? 'most' : 'least'
    if (clamps.some(other => other.argument === argument && other.bound === bound)) {
      return `@clamp(${JSON.stringify(text)}) gives the same bound twice`
    }
    clamps.push({ argument, bound, value: Number(digits) })
  }
  return { clamps }
}

/** Commas inside quotes are no separators. */
const parts = (text: string): string[] => (text.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? ['']).map(part => part.trim())

const scalar = (literal: string): string | number | boolean | undefined => {
  try {
    const value: unknown = JSON.parse(literal)
    if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
    return typeof value === 'string' || typeof value === 'boolean' ? value : undefined
  } catch {
    return undefined
  }
}
