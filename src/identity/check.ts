import { outgoingUrl, type UrlProblem } from '../outgoing/fetch.ts'
import type { Issuer } from '../policy/tenant.ts'
import { conflicts } from './injective.ts'
import { keyLocation } from './key-fetch.ts'
import { loadKeys, useOf } from './key-set.ts'
import { OWN_ISSUER } from './own-issuer.ts'

/** `pointer` is a JSON pointer into the list of issuers. */
export type IssuerProblem = { pointer: string; problem: string }

/** All that is wrong with a tenant's issuers and that their schema can't say. A bundle with any of it isn't pushed. */
export const checkIssuers = async (
  issuers: readonly Issuer[],
  hosts: readonly string[] = [],
): Promise<IssuerProblem[]> => {
  const problems: IssuerProblem[] = []
  for (const [index, issuer] of issuers.entries()) {
    const { problems: keyProblems } = await loadKeys(issuer.jwks?.keys ?? [], issuer.algorithms, useOf(issuer))
    for (const { index: key, problem } of keyProblems) problems.push({ pointer: `/${index}/jwks/keys/${key}`, problem })
    for (const { path, problem } of [
      ...entryProblems(issuer),
      ...sourceProblems(issuer, hosts),
      ...namingProblems(issuer, issuers),
    ])
      problems.push({ pointer: `/${index}${path}`, problem })
  }
  for (const { pointers, problem } of conflicts(issuers))
    problems.push({ pointer: pointers[1], problem: `${problem} (see ${pointers[0]})` })
  return problems
}

/** Keys come from one place, and one that the Worker may call. A laptop's own address is judged where the Worker runs. */
const sourceProblems = (issuer: Issuer, hosts: readonly string[]): { path: string; problem: string }[] => {
  const sources = (['jwks', 'jwks_uri', 'discovery'] as const).filter(source => issuer[source] !== undefined)
  const [source] = sources
  if (source === undefined || sources.length > 1)
    return [{ path: '', problem: 'needs its keys from one of `jwks`, `jwks_uri` and `discovery`' }]
  const location = keyLocation(issuer)
  if (!location) return []
  const url = outgoingUrl('keys' in location ? location.keys : location.metadata, { hosts, local: true })
  return typeof url === 'string' ? [{ path: `/${source}`, problem: URL_PROBLEMS[url] }] : []
}

/** What an entry says about others of the list. */
const namingProblems = (issuer: Issuer, issuers: readonly Issuer[]): { path: string; problem: string }[] => {
  const unknown = (issuer.events?.about ?? []).filter(id => !issuers.some(other => other.id === id))
  const domain = issuer.spiffe?.trust_domain
  const shared = issuers.some(
    other => other !== issuer && domain !== undefined && other.spiffe?.trust_domain === domain,
  )
  return [
    ...unknown.map(id => ({ path: '/events/about', problem: `names ${id}, and there is no such issuer` })),
    ...(shared ? [{ path: '/spiffe/trust_domain', problem: 'is that of another issuer too' }] : []),
  ]
}

const URL_PROBLEMS: Record<UrlProblem, string> = {
  not_a_url: 'makes no URL',
  not_https: 'is not https',
  user_info: 'has a user or password in its URL',
  ip_literal: 'names an IP address instead of a host',
  loopback: 'names this machine',
  host_not_allowed: 'is on a host that `outgoing` does not list',
}

const entryProblems = (issuer: Issuer): { path: string; problem: string }[] => {
  const problems: { path: string; problem: string }[] = []
  const { allowed, default: given } = issuer.roles
  if (given.some(role => !allowed.includes(role)))
    problems.push({ path: '/roles/default', problem: 'gives a role that the issuer may not give' })
  if (!issuer.development && allowed.includes('agent') && !issuer.agent)
    problems.push({ path: '/roles/allowed', problem: 'gives the role agent, but no `agent` rule says which agent' })
  if (!issuer.development && allowed.includes('source') !== (issuer.source !== undefined))
    problems.push({ path: '/source', problem: 'goes with the role source, and neither has a meaning alone' })
  if (issuer.id_jag && !issuer.user)
    problems.push({ path: '/id_jag', problem: 'asserts who a user is, but no `user` rule says which entity that is' })
  if (issuer.user && !issuer.agent && allowed.length > 0)
    problems.push({ path: '/user', problem: 'says whom an agent acts for, but no `agent` rule says which agent' })
  if (issuer.id === OWN_ISSUER)
    problems.push({ path: '/id', problem: 'is what the tokens of Countersign itself go by' })
  for (const role of ['agent', 'user', 'approver'] as const) {
    const rule = issuer[role]
    if (rule?.ids && rule.prefix !== '')
      problems.push({ path: `/${role}/prefix`, problem: 'has no effect beside `ids`, which names whole ids' })
    if (rule?.ids && Object.values(rule.ids).some(id => !id.isWellFormed()))
      problems.push({ path: `/${role}/ids`, problem: 'has an id that is not well-formed Unicode' })
    if (rule && !rule.prefix.isWellFormed())
      problems.push({ path: `/${role}/prefix`, problem: 'is not well-formed Unicode' })
  }
  return problems
}
