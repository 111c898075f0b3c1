import type { EntityUid, Expr } from '../cedar/json.ts'
import type { Window } from './windows.ts'

/**
 * What the Worker's evaluation leaves to be settled. It travels from the Worker to the agent's object, which may run
 * another version of the code: fields are only ever added, and `v` changes when an old reader would misread a new one.
 */
export type Program = {
  /** 2 where a rule asks what the whole tree of sessions knows, which a reader of 1 would judge by less. */
  v: 1 | 2
  /** One for each principal of the chain, and one for each grant; every one must permit. */
  legs: Leg[]
  /** What the permits change. The program is that of the changed request. */
  rewrite?: Rewrite
}

export type Rewrite = {
  /** Arguments that have another value than was asked for, with that value. */
  set: Record<string, unknown>
  /** Fields of the result that are kept back, sorted. */
  mask: string[]
  /** Whether the caller said that it applies rewrites; else they are only offered. */
  declared: boolean
}

export type Leg = {
  /** Whose authority this leg judges. A grant has no forbids, and nothing lifts its refusal. */
  of: { kind: 'principal'; uid: EntityUid } | { kind: 'grant'; id: string }
  permits: Rule[]
  forbids: Rule[]
}

/** A policy that matched or may match. Policies that are false are left out. */
export type Rule = {
  policy: string
  when: Condition
  /** An error of a forbid counts as a match that can't be lifted. */
  error?: true
  meters: Meter[]
  /** Of a grant's permit. */
  draws?: Draw[]
  duties?: Duties
  /** Present where a human may lift this forbid (`@escalate`). */
  liftable?: Liftable
}

/** What comes with a rule. A permit that can't be had dutifully is of no use; a forbid of fields forbids without them. */
export type Duties = {
  /** Fields of the request's context that must be given, for the record. */
  log?: string[]
  /** Those of them that the request did not give. */
  absent?: string[]
  /** Milliseconds within which the outcome must be reported. */
  reportMs?: number
  /** The caller said that it can't carry out what this rule obliges it to. */
  unsupported?: true
}

type Condition = true | Residual

/** What is left of a policy's conditions, and the unknowns that it hangs on. */
export type Residual = {
  unknowns: string[]
  residual: Expr
  /** The session is that of the whole tree: what any agent did that has to do with the task (`@session("tree")`). */
  tree?: true
}

/** The name of the unknown that stands for `context.session`: the agent's object knows it. */
export const SESSION = 'context.session'

export type Liftable = { group: string; textHash: string }

/** A limit that a rule carries. The key never holds the bundle, so a push doesn't refill it. */
export type Meter = LimitMeter | WindowMeter

/** A token bucket: `capacity` at once, refilled over `windowMs`. */
export type LimitMeter = { kind: 'limit'; key: string; capacity: number; windowMs: number; cost: number }

/** What a grant counts: taken from the purse that the agent's object holds for it, which nothing ever refills. */
export type Draw = { purse: string; counter: 'uses' | 'amount'; cost: number }

/** A sum over a window of time: at most `capacity` in it. */
export type WindowMeter = {
  kind: 'window'
  key: string
  capacity: number
  window: Window
  cost: number
  /** A budget's amount is reserved until the action's outcome is known; what a limit counts it counts for good. */
  budget: boolean
  /** The name of the object that lends parts of it, where several agents spend from it. */
  shared?: string
}
