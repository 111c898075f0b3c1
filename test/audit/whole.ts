import { listDurableObjectIds, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { wrongBody } from '../../src/audit/content.ts'
import { inD1 } from '../../src/audit/log/export.ts'
import { linkHash, type ReceiptKind } from '../../src/audit/receipt.ts'
import { clock } from '../clock.ts'

/** All that is on record of any tenant of a file's tests, once the agents' objects have sent what they hold. */
export const wholeRecord = async (): Promise<{ kinds: Set<string>; wrong: string[] }> => {
  clock.advance(3_000)
  for (const id of await listDurableObjectIds(env.AGENT)) await runDurableObjectAlarm(env.AGENT.get(id))
  const { results: places } = await env.DB.prepare('SELECT tenant, chain, seq FROM receipts').all<{
    tenant: string
    chain: string
    seq: number
  }>()
  const kinds = new Set<string>()
  const wrong: string[] = []
  for (const [tenant, own] of Map.groupBy(places, place => place.tenant)) {
    for (const { body, secrets, ...receipt } of await inD1(env.DB, tenant)(own)) {
      const { chain, seq, prev, kind, at, bodyCommit, hash } = receipt
      const line = {
        ...receipt,
        type: 'receipt',
        leaf: 0,
        body: JSON.parse(body),
        secrets: JSON.parse(secrets),
      } as const
      const isLinked = hash === linkHash({ v: 1, chain, seq, prev, kind: kind as ReceiptKind, at, bodyCommit })
      const problems = [...wrongBody(line, tenant), ...(isLinked ? [] : ['the link was changed'])]
      kinds.add(kind)
      wrong.push(...problems.map(problem => `${kind}: ${problem}: ${body}`))
    }
  }
  return { kinds, wrong }
}
