import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import type { Ask } from '../decision/ask.ts'
import { read } from '../decision/ask.ts'
import { isRefusal, type Refusal, refusal } from '../decision/refusal.ts'
import type { Signer } from '../identity/keys.ts'
import type { EscalationState, OpenCall } from './call.ts'
import { type RequestDeps, requestOf } from './request.ts'
import { taskOf } from './task.ts'

/**
 * Several denials requested as one (profile, `items`). Each item is a request of its own, bound to its own denial and
 * answered on its own; the bundle only gathers what became of them.
 */
const Members = v.record(v.string(), v.unknown())
const Bundle = v.looseObject({
  items: v.pipe(v.array(Members), v.minLength(1), v.maxLength(20)),
  denial: v.optional(Members),
  requested_access: v.optional(Members),
})

/** Ids of bundles are longer than those of tasks, so that the one is never looked up as the other. */
export const newBundle = (): string => randomBytes(48).toString('base64url')
export const BUNDLE = /^[\w-]{64}$/

export const isBundle = (json: unknown): boolean => typeof json === 'object' && json !== null && 'items' in json

/** All of its requests, or why one of them is none. */
export const requestsOf = async (json: unknown, deps: RequestDeps): Promise<OpenCall[] | Refusal> => {
  const bundle = read(Bundle, json)
  if (isRefusal(bundle)) return bundle
  const { items, denial, requested_access, ...shared } = bundle
  for (const member of ['resource', 'action', 'callback']) {
    if (member in shared)
      return refusal(400, 'malformed_request', { pointer: `/${member}`, detail: 'has no place beside items' })
  }
  const calls: OpenCall[] = []
  for (const [index, item] of items.entries()) {
    const own = item.denial ?? denial
    if (own === undefined) return refusal(400, 'invalid_denial_binding', { pointer: `/items/${index}/denial` })
    const wanted = { ...requested_access, ...v.parse(v.optional(Members, {}), item.requested_access) }
    const single = { ...shared, resource: item.resource, action: item.action, denial: own, requested_access: wanted }
    const call = await requestOf(single, deps, `/items/${index}`)
    if (isRefusal(call)) return { ...call, pointer: pointerIn(index, call) }
    calls.push(call)
  }
  return calls
}

/** What is wrong with one item, in the bundle: what all items share stands beside them. */
const pointerIn = (index: number, { pointer = '' }: Refusal): string => {
  const item = `/items/${index}`
  const own = pointer.startsWith(item) ? pointer.slice(item.length) : pointer
  return own === '' || /^\/(resource|action|denial|requested_access)\b/.test(own) ? `${item}${own}` : own
}

/** The bundle as a PEP sees it: how each item stands, and what that comes to. */
export const bundleTask = async (
  task: string,
  states: EscalationState[],
  { identifier, signer }: { identifier: string; signer?: Signer },
) => {
  const items = await Promise.all(
    states.map(async state => {
      const { action, resource }: Ask = JSON.parse(state.open.ask)
      const own = await taskOf(state, { identifier, ...(signer && { signer }) })
      return { resource, action, status: own.task.status, ...('result' in own && { result: own.result }) }
    }),
  )
  const endpoint = `${identifier}/access/v1/requests/${task}`
  const status = aggregate(items.map(item => item.status))
  return {
    task: {
      id: task,
      status,
      status_endpoint: endpoint,
      expires_at: new Date(Math.max(...states.map(({ handleUntil }) => handleUntil))).toISOString(),
      ...(status === 'pending' && { links: { cancel: `${endpoint}/cancel` } }),
      items,
    },
  }
}

/** The profile's rule: pending while anything is, one status where all agree, else partial. */
const aggregate = (statuses: string[]): string => {
  if (statuses.includes('pending')) return 'pending'
  const [first = 'failed', ...others] = new Set(statuses)
  return others.length === 0 ? first : 'partial'
}
