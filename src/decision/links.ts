import * as v from 'valibot'
import type { Problem } from '../cedar/convert.ts'
import type { Ask } from './ask.ts'

/** How an action hangs together with others of its agent, as the request's context says. */
export type Links = {
  /** Evaluations that must be allowed first. */
  after?: string[]
  /** The deferred evaluation of the same action that this one takes up again. */
  continues?: string
}

const MAX_AFTER = 16
const Id = v.pipe(v.string(), v.uuid())
const After = v.pipe(v.array(Id), v.maxLength(MAX_AFTER))

export const linksOf = ({ context }: Ask, problems: Problem[]): Links => {
  const { after, continues } = context ?? {}
  const links: Links = {}
  // most actions stand alone
  if (after === undefined && continues === undefined) return links
  if (v.is(After, after)) links.after = [...new Set(after)]
  else if (after !== undefined) {
    const expected = `an array of at most ${MAX_AFTER} evaluation ids`
    problems.push({ pointer: '/context/after', code: 'mistyped', expected })
  }
  if (v.is(Id, continues)) links.continues = continues
  else if (continues !== undefined) {
    problems.push({ pointer: '/context/continues', code: 'mistyped', expected: 'an evaluation id' })
  }
  return links
}
