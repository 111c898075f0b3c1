import type { Step } from './calls/decide.ts'

/** What a session has come to: all that policies can read of it. Lists hold each once, sorted. */
export type SessionState = {
  startedAt: number
  /** How many actions were allowed here. */
  steps: number
  actions: string[]
  resources: string[]
  types: string[]
  classes: string[]
  /** The rank of the highest class that was read; -1 where none was. */
  level: number
  /** What the user asked for in the beginning; empty where nobody said. */
  request: string
}

/** What a session came to know that it hadn't before: all of it that others are told. */
export type News = Partial<Pick<SessionState, (typeof LISTS)[number] | 'level'>>

const LISTS = ['actions', 'resources', 'types', 'classes'] as const

/** How many resources a session can tell apart, and of how many characters: each step reads, hashes and writes them all. */
export const MOST_RESOURCES = 1_000
const MOST_CHARS = 64_000

/** Whether a list may have lost something. */
export const isFull = (resources: readonly string[]): boolean =>
  resources.length >= MOST_RESOURCES || charsOf(resources) >= MOST_CHARS

const charsOf = (resources: readonly string[]): number => resources.reduce((sum, { length }) => sum + length, 0)

/** The least of all that there were, so that it doesn't hang on which came first. One too many says that there were more. */
const bounded = (resources: string[]): string[] => {
  let chars = 0
  const end = resources.findIndex((resource, at) => {
    chars += resource.length
    return at + 1 >= MOST_RESOURCES || chars >= MOST_CHARS
  })
  return end < 0 || end + 1 === resources.length ? resources : resources.slice(0, end + 1)
}

export const beginning = (at: number): SessionState => ({
  actions: [],
  classes: [],
  level: -1,
  request: '',
  resources: [],
  startedAt: at,
  steps: 0,
  types: [],
})

export const afterStep = (before: SessionState, { action, resource, type, read, request }: Step): SessionState => {
  const learned = {
    actions: [action],
    resources: [resource],
    types: [type],
    ...(read && { classes: [read.class], level: read.level }),
    ...(request !== undefined && { request }),
  }
  return { ...joined(before, learned), steps: before.steps + 1 }
}

/**
 * What is known of either, a join: told twice, late or in another order it comes to the same. What was asked for first
 * stays, and steps count where they were made.
 */
export const joined = (state: SessionState, more: Partial<SessionState>): SessionState => ({
  actions: union(state.actions, more.actions),
  classes: union(state.classes, more.classes),
  level: Math.max(state.level, more.level ?? -1),
  request: state.request || (more.request ?? ''),
  resources: bounded(union(state.resources, more.resources)),
  startedAt: Math.min(state.startedAt, more.startedAt ?? state.startedAt),
  steps: state.steps,
  types: union(state.types, more.types),
})

/** What one has come to know by becoming the other. A list of resources that is full tells nothing more. */
export const newsBetween = (before: SessionState, after: SessionState): News | undefined => {
  const lists = LISTS.flatMap(name => {
    if (name === 'resources' && isFull(before.resources)) return []
    const known = new Set(before[name])
    const added = after[name].filter(one => !known.has(one))
    return added.length > 0 ? [[name, added] as const] : []
  })
  if (lists.length === 0 && after.level <= before.level) return undefined
  return { ...Object.fromEntries(lists), ...(after.level > before.level && { level: after.level }) }
}

const union = (list: string[], more: readonly string[] = []): string[] => {
  const known = new Set(list)
  const added = more.filter(one => !known.has(one))
  return added.length > 0 ? [...new Set([...list, ...added])].sort() : list
}
