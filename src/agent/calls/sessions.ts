import type { News, SessionState } from '../session-state.ts'

/** One session: the object that holds it, whose that is, and its name there. */
export type Place = { object: string; agent: string; session: string }

/**
 * What a session begins with: those that it comes from, nearest first, the root of the tree last; and what the nearest
 * knew when it handed on, with the step of it that says so.
 */
export type Inheritance = { line: Place[]; seq: number; hash: string; state: SessionState }

/** Tells a session what one below it has learned, up to a step of that one. Repeating it changes nothing. */
export type ToldCall = { v: 1; session: string; from: Place & { seq: number; hash: string }; news: News }
