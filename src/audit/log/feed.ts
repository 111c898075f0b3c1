import type { CollectCall, CollectReply } from '../../agent/calls/receipts.ts'
import { logOf } from './names.ts'
import type { LogObject } from './object.ts'

/** Hands to the log what D1 has stored, and says for each call what became of it. A collector serves one tenant. */
export const logReceipts = async (
  logs: DurableObjectNamespace<LogObject>,
  calls: readonly CollectCall[],
  stored: readonly CollectReply[],
): Promise<CollectReply[]> => {
  const taken = calls.filter((_, index) => stored[index]?.kind === 'stored')
  const [first] = taken
  if (!first) return [...stored]
  const links = taken.map(({ chain, receipts }) => ({
    chain,
    from: receipts[0]?.seq ?? 1,
    prev: receipts[0]?.prev ?? '',
    hashes: receipts.map(({ hash }) => hash),
  }))
  const logged = await logOf(logs, first.tenant).append({ v: 1, tenant: first.tenant, chains: links })
  return calls.map((call, index) => {
    const inLog = logged[taken.indexOf(call)]
    return inLog === undefined || inLog.kind === 'logged' ? (stored[index] ?? { kind: 'unavailable' }) : inLog
  })
}
