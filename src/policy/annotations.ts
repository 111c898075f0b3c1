import type { Effect } from '../cedar/json.ts'
import { BUDGET_EXAMPLE, type Budget, parseBudget, windowName } from './budget.ts'
import { type EscalationTerms, escalationAnnotations, termsProblem } from './escalation.ts'
import { nearest } from './near.ts'
import { parseDuration, parseRate, type Rate } from './rate.ts'
import { CLAMP_EXAMPLE, MASK_EXAMPLE, type Rewrites, readClamp, readMask, readSet, SET_EXAMPLE } from './rewrites.ts'

/**
 * What a policy's annotations mean. Cedar leaves annotations to the application; here each one is known, well formed
 * and on the right kind of policy, or the bundle is refused: a misspelt `@limit` must not become no limit.
 */
export type RuleMeta = Meanings & {
  id: string
  effect: Effect
  /** Of the policy's JSON form; what an approval binds. */
  textHash: string
}

/** A token bucket; where it slides, no window of that length ever holds more than `capacity`. */
export type Limit = Rate & { per: Per; sliding?: true }

const limitScopes = ['agent', 'resource', 'action'] as const
/** What each bucket is for: by default one for the agent, else one for each resource or action it touches. */
type Per = (typeof limitScopes)[number]

/** Where the fault is: the annotation's name, or undefined where one is missing. */
export type AnnotationProblem = { annotation?: string; message: string; hint?: string }

type Meanings = EscalationTerms &
  Rewrites & {
    limits: Limit[]
    /** Facts that must be known, or the policy is neither true nor false. */
    requires?: Requirement[]
    budgets: Budget[]
    /** Fields that a request must give. */
    log?: string[]
    /** Its `context.session` is that of all agents that have to do with the task. */
    tree?: true
    /** Milliseconds within which the outcome must be reported. */
    reportMs?: number
    /** For people only. */
    doc?: string
  }

/** What must be known, how long ago it may have been observed, and how old a copy may be. Milliseconds. */
export type Requirement = { fact: string; maxAgeMs?: number; maxCacheMs?: number }

/** One annotation: where it may stand, how it reads, and how its text becomes meaning (or the sentence that says why not). */
type Annotation = {
  on: readonly Effect[]
  example: string
  read: (text: string) => Partial<Meanings> | string
}

const both = ['permit', 'forbid'] as const

/** Every annotation there is. */
const annotations: Readonly<Record<string, Annotation>> = {
  // The id is read apart, since it names the policy that everything else speaks of.
  id: { on: both, example: '@id("refund-small")', read: () => ({}) },
  doc: { on: both, example: '@doc("Why this rule is here.")', read: readDoc },
  limit: {
    on: both,
    example: '@limit("20/h"), @limit("5/10m per resource") or @limit("20/h sliding")',
    read: readLimits,
  },
  budget: { on: both, example: BUDGET_EXAMPLE, read: readBudgets },
  log: { on: both, example: '@log("ticket,justification")', read: readLog },
  report: { on: ['permit'], example: '@report("15m")', read: readReport },
  ...Object.fromEntries(
    Object.entries(escalationAnnotations).map(([name, { example, read }]): [string, Annotation] => [
      name,
      { on: ['forbid'], example, read },
    ]),
  ),
  session: { on: both, example: '@session("tree")', read: readSession },
  requires: { on: both, example: '@requires("orderTotal max_age 1h")', read: readRequires },
  mask: { on: ['permit'], example: MASK_EXAMPLE, read: readMask },
  set: { on: ['permit'], example: SET_EXAMPLE, read: readSet },
  clamp: { on: ['permit'], example: CLAMP_EXAMPLE, read: readClamp },
}

/** Whether a rule has a limit or a budget. */
export const isMetered = ({ limits, budgets }: Pick<RuleMeta, 'limits' | 'budgets'>): boolean =>
  limits.length > 0 || budgets.length > 0

export const POLICY_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

/** Reads the annotations of one policy. `id` is the one that the policy set knows it by: for a link, the link's. */
export const readAnnotations = (
  policy: { id: string; effect: Effect; textHash: string },
  given: Iterable<readonly [string, string]>,
): { rule: RuleMeta; problems: AnnotationProblem[] } => {
  const rule: RuleMeta = { ...policy, limits: [], budgets: [], sets: [], clamps: [], mask: [] }
  const problems: AnnotationProblem[] = []
  let identified = false
  for (const [annotation, text] of given) {
    const known = Object.hasOwn(annotations, annotation) ? annotations[annotation] : undefined
    if (annotation === 'id') {
      identified = true
      if (!POLICY_ID.test(text)) problems.push({ annotation, ...badId(text) })
    } else if (known === undefined) {
      problems.push({ annotation, ...unknownAnnotation(annotation) })
    } else if (!known.on.includes(policy.effect)) {
      problems.push({ annotation, message: `@${annotation} can't stand on a ${policy.effect}` })
    } else {
      const meaning = known.read(text)
      if (typeof meaning === 'string') problems.push({ annotation, message: meaning, hint: `write ${known.example}` })
      else Object.assign(rule, meaning)
    }
  }
  if (rewrites(rule) && isMetered(rule)) {
    const hint = 'put the limit on a forbid'
    problems.push({ annotation: 'limit', message: '@mask, @set and @clamp stand on permits without limits', hint })
  }
  if (!identified) {
    problems.push({ message: 'the policy has no @id', hint: 'every policy needs one, such as @id("refund-small")' })
  }
  const disagreement = termsProblem(rule)
  if (disagreement) problems.push(disagreement)
  return { rule, problems }
}

/** Whether a permit changes what it permits. */
export const rewrites = ({ sets, clamps, mask }: Rewrites): boolean =>
  sets.length > 0 || clamps.length > 0 || mask.length > 0

const badId = (text: string) => ({
  message: `@id(${JSON.stringify(text)}) is not an id`,
  hint: 'an id is 1-128 letters, digits, - _ and ., and starts with a letter or digit',
})

const unknownAnnotation = (name: string): Omit<AnnotationProblem, 'annotation'> => {
  const meant = nearest(name, Object.keys(annotations))
  return {
    message: `there is no annotation @${name}`,
    hint: meant
      ? `did you mean @${meant}?`
      : `there are ${Object.keys(annotations)
          .map(known => `@${known}`)
          .join(', ')}`,
  }
}

function readDoc(doc: string): Partial<Meanings> | string {
  return doc.trim() === '' ? '@doc says nothing' : { doc }
}

/** One limit, or several with commas between: all of them must have room. */
function readLimits(text: string): Partial<Meanings> | string {
  const limits: Limit[] = []
  for (const part of text.split(',')) {
    const match = /^([^\s]+)(\s+sliding)?(?:\s+per\s+([^\s]+))?$/.exec(part.trim())
    const rate = parseRate(match?.[1] ?? '')
    if (rate === undefined) return `@limit(${JSON.stringify(text)}) is not a rate`
    const per = limitScopes.find(scope => scope === (match?.[3] ?? 'agent'))
    if (per === undefined) return `@limit(${JSON.stringify(text)}): a limit is per ${limitScopes.join(', ')}`
    if (limits.some(other => other.per === per && other.windowMs === rate.windowMs)) {
      return `@limit(${JSON.stringify(text)}) says the same window twice`
    }
    limits.push({ ...rate, per, ...(match?.[2] !== undefined && { sliding: true }) })
  }
  return { limits }
}

function readSession(text: string): Partial<Meanings> | string {
  return text === 'tree' ? { tree: true } : `@session(${JSON.stringify(text)}): there is only "tree"`
}

/** One fact, or several with commas between, each with how old it may be. */
function readRequires(text: string): Partial<Meanings> | string {
  const requires: Requirement[] = []
  for (const part of text.split(',')) {
    const [, fact, age, copy] =
      /^([A-Za-z_]\w*)(?:\s+max_age\s+(\S+))?(?:\s+max_cache\s+(\S+))?$/.exec(part.trim()) ?? []
    if (fact === undefined) return `@requires(${JSON.stringify(text)}) is not a fact's name and how old it may be`
    const [maxAgeMs, maxCacheMs] = [age, copy].map(time => (time === undefined ? undefined : parseDuration(time)))
    if ((age !== undefined && maxAgeMs === undefined) || (copy !== undefined && maxCacheMs === undefined)) {
      return `@requires(${JSON.stringify(text)}): a time reads like 30s, 15m, 1h or 7d`
    }
    if (requires.some(other => other.fact === fact)) return `@requires(${JSON.stringify(text)}) names ${fact} twice`
    requires.push({
      fact,
      ...(maxAgeMs !== undefined && { maxAgeMs }),
      ...(maxCacheMs !== undefined && { maxCacheMs }),
    })
  }
  return { requires }
}

/** One budget, or several with commas between: all of them must have room. */
function readBudgets(text: string): Partial<Meanings> | string {
  const budgets: Budget[] = []
  for (const part of text.split(',')) {
    const budget = parseBudget(part)
    if (typeof budget === 'string') return `@budget(${JSON.stringify(text)}) ${budget}`.replace(') :', '):')
    if (budgets.some(other => nameOfBudget(other) === nameOfBudget(budget))) {
      return `@budget(${JSON.stringify(text)}) says the same twice`
    }
    budgets.push(budget)
  }
  return { budgets }
}

/** What tells a policy's budgets apart: what is counted, in which window, for whom. */
export const nameOfBudget = ({ argument, window, per }: Budget): string =>
  JSON.stringify([argument ?? 'count', windowName(window), per])

/** Names of members of the request's context. */
function readLog(text: string): Partial<Meanings> | string {
  const log = text.split(',').map(name => name.trim())
  const wrong = log.find(name => !FIELD.test(name) || PROTOCOL.includes(name))
  if (wrong !== undefined) return `@log(${JSON.stringify(text)}): ${JSON.stringify(wrong)} can't be the name of a field`
  return new Set(log).size < log.length ? `@log(${JSON.stringify(text)}) names a field twice` : { log }
}

const FIELD = /^[A-Za-z_]\w{0,63}$/
/** Members of a request's context that have a meaning of their own. */
const PROTOCOL = ['supported_obligations', 'approval', 'after', 'continues', 'claims', 'attestations', 'session_id']

function readReport(text: string): Partial<Meanings> | string {
  const reportMs = parseDuration(text)
  return reportMs === undefined ? `@report(${JSON.stringify(text)}) is not a time` : { reportMs }
}
