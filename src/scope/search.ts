import type { Epoch } from '../agent/calls/kills.ts'
import type { Answered, Found, SearchCall } from '../agent/calls/questions.ts'
import type { Ask } from '../decision/ask.ts'
import { reached } from '../decision/object.ts'
import { judge } from '../decision/prepare.ts'
import type { Reason } from '../decision/reasons.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import { objectFor } from '../decision/sealed.ts'
import { targetsOf } from '../decision/targets.ts'
import { type Who, who } from '../decision/who.ts'
import { BEST } from '../settle/best.ts'
import type { Program } from '../settle/program.ts'
import { settle } from '../settle/settle.ts'
import { candidates } from './candidates.ts'
import { limitOf, type Position } from './pages.ts'
import type { Query } from './query.ts'
import { ANY, type Answerers, type Asked, deniedFor, questionOf, searchesOf, unanswered } from './question.ts'

export type Searched = {
  results: Found[]
  /** Where the next page begins. */
  next?: Position
  bundle: string
  at: number
  recorded: boolean
  id?: string
  /** Why nothing was looked for. */
  reason?: Reason
}

/** So many candidates at most are looked at for one page: then it ends, however few it has. */
const MOST = 20_000

/**
 * Finds what would be permitted, among the bundle's own entities and actions, in one call to the agent's object. From a
 * position on, `call.bundle` is the one that the earlier pages came from.
 */
export const search = async (
  query: Query,
  call: Asked,
  deps: Answerers,
  position?: Position,
  mayMove = true,
): Promise<Searched | Refusal> => {
  const { bundle, edge } = call
  const actor = askerOf(query, call)
  if (isRefusal(actor)) return actor
  const nothing = (reason: Reason): Searched => {
    return { results: [], bundle: bundle.hash, at: edge.now, recorded: false, reason }
  }
  const question = await questionOf(askOf(query), actor, call, deps.vault)
  if ('failed' in question) return nothing(question.failed)
  const limit = position?.limit ?? limitOf(query.page?.limit)
  const denied = await deniedFor(actor, call, deps)
  const page = denied ? NOTHING : pageOf(query, call, position?.at ?? 0, limit)
  const object = query.of === 'subject' && actor.asserts ? searchesOf(call) : await objectFor(actor, call, deps.vault)
  const sent: SearchCall = {
    ...question,
    agent: object.agent,
    programs: page.programs,
    found: page.found,
    ...(position && { pinned: true }),
    ...(denied && { denied }),
  }
  const reply = await reached<Answered<Found[]>>(async () => deps.agents.getByName(object.name).search(sent))
  if ('kind' in reply && reply.kind === 'stale_bundle') {
    const moved = mayMove ? await deps.adopt(reply) : undefined
    return moved ? search(query, { ...call, ...moved }, deps, undefined, false) : nothing('bundle_stale')
  }
  if (!('kind' in reply) || reply.kind !== 'answered') {
    const failed = unanswered(reply)
    return isRefusal(failed) ? failed : nothing(failed.reason)
  }
  const { result, at, reason } = reply
  return {
    results: result,
    bundle: bundle.hash,
    at,
    recorded: true,
    id: sent.id,
    ...(reason !== undefined && { reason }),
    ...(page.next !== undefined && reason === undefined && { next: { bundle: sent.bundle, at: page.next, limit } }),
  }
}

/** Whose search it is. A gateway's search among subjects is nobody's: it is about all of them. */
const askerOf = (query: Query, { caller, bundle }: Asked): Who | Refusal => {
  if (query.of !== 'subject') return who(askOf(query), caller, bundle)
  const { type } = query.subject
  if (caller.roles.includes('pep'))
    return {
      principals: { actor: { type, id: ANY }, chain: [] },
      groups: [],
      grants: caller.grants ?? [],
      asserts: true,
    }
  const { principals } = caller
  const own = [principals?.actor, principals?.user].find(uid => uid?.type === type)
  if (principals && !own) return refusal(403, 'subject_mismatch', { pointer: '/subject' })
  return who({ ...askOf(query), subject: { type, id: own?.id ?? ANY } }, caller, bundle)
}

/** The query as a request, with a mark where it leaves a place open. */
const askOf = (query: Query): Ask => {
  const { subject, resource, context } = query
  return {
    subject: { id: ANY, ...subject },
    action: 'action' in query ? query.action : { name: ANY },
    resource: { id: ANY, ...resource },
    ...(context && { context }),
  }
}

type Page = Pick<SearchCall, 'programs' | 'found'> & { next?: number }

const NOTHING: Page = { programs: [], found: [] }

const pageOf = (query: Query, call: Asked, from: number, limit: number): Page => {
  const all = candidates(query, call.caller, call.bundle)
  const programs: Program[] = []
  const places = new Map<string, number>()
  const found: Page['found'] = []
  let at = from
  for (; at < all.length && found.length < limit && at - from < MOST; at++) {
    const candidate = all.at(at)
    const program = candidate && promising(candidate.ask, call)
    if (!program) continue
    // Most of what one agent may do rests on the same few policies.
    const text = JSON.stringify(program)
    const place = places.get(text) ?? programs.push(program) - 1
    places.set(text, place)
    found.push({ result: candidate.result, program: place })
  }
  return { programs, found, ...(at < all.length && { next: at }) }
}

/** The program of what could be permitted, given the best of states; the agent's object knows the state. */
const promising = (ask: Ask, call: Asked): Program | undefined => {
  const { caller, bundle, edge, epoch } = call
  const actor = who(ask, caller, bundle)
  if (isRefusal(actor) || actor.unknown) return undefined
  if (epoch && isStopped(ask, actor, call, epoch)) return undefined
  const { program, denied } = judge(ask, actor, { bundle, edge }, {}, [])
  if (denied) return undefined
  const { outcome } = settle(program, BEST, edge.now)
  return outcome === 'deny' || outcome === 'step_up' ? undefined : program
}

const isStopped = (ask: Ask, actor: Who, call: Asked, { targets }: Epoch): boolean =>
  targets.length > 0 && targetsOf(ask, actor, call).some(target => targets.includes(target))
