import { commitmentsOf } from '../audit/receipt.ts'
import { type Handler, plan } from '../durable/due.ts'
import { nameOf } from '../durable/names.ts'
import type { Epoch, Kill, KillCall, KillReply } from './calls/kills.ts'
import { append } from './chain.ts'
import { openSelf, readSelf } from './self.ts'
import { secret } from './standing.ts'

/**
 * Kill switches wider than one agent. A tenant's are kept by one object, on its chain; it writes them to KV as a small
 * document with a number of its own, the epoch. Every agent's object keeps the newest epoch that it was told of.
 */

/** What a switch that stops all of a tenant is called. */
export const TENANT_TARGET = '["tenant"]'

/** So many at a time, since every decision carries them; that for the whole tenant always has room. */
const MOST_KILLS = 1_000

/** What a session is called among the targets of switches. */
export const sessionTarget = (id: string): string => JSON.stringify(['session', id])

export const setKill = (storage: DurableObjectStorage, chain: string, call: KillCall, clock: () => number): KillReply =>
  storage.transactionSync(() => {
    const self = openSelf(storage, { tenant: call.tenant, chain, agent: 'kill-switches' })
    const now = Math.max(call.at, self.head?.at ?? 0)
    const before = readEpoch(storage)
    if (before.targets.includes(call.target) === call.killed) {
      // whoever says it again may have seen that KV doesn't say it
      plan(storage, 'publish', '', clock())
      return { epoch: before, changed: false }
    }
    if (call.killed && before.targets.length >= MOST_KILLS && call.target !== TENANT_TARGET) return { kind: 'full' }
    const secrets = { caller: secret(call.by), reason: secret(call.reason), target: secret(call.shown) }
    const epoch: Epoch = {
      v: 1,
      seq: before.seq + 1,
      targets: [...before.targets.filter(target => target !== call.target), ...(call.killed ? [call.target] : [])],
    }
    const kind = call.killed ? 'kill' : 'revival'
    append(storage, self, { kind, at: now, body: { ...commitmentsOf(secrets), epoch: epoch.seq }, secrets }, clock)
    storage.sql.exec('DELETE FROM kill WHERE target = ?', call.target)
    if (call.killed) {
      const { target, shown, by, reason } = call
      storage.sql.exec('INSERT INTO kill VALUES (?, ?, ?, ?, ?)', target, shown, by, reason, now)
    }
    writeEpoch(storage, epoch)
    plan(storage, 'publish', '', clock())
    return { epoch, changed: true }
  })

/** The switches that are on, the newest first. */
export const readKills = ({ sql }: DurableObjectStorage): Kill[] =>
  sql.exec<Kill>('SELECT shown, by, reason, at FROM kill ORDER BY at DESC').toArray()

/** Keeps an epoch that is newer than what is known. */
export const learnEpoch = (storage: DurableObjectStorage, epoch: Epoch): void => {
  if (epoch.seq > readEpoch(storage).seq) writeEpoch(storage, epoch)
}

export const readEpoch = ({ sql }: DurableObjectStorage): Epoch => {
  const [row] = sql.exec<{ epoch: string }>('SELECT epoch FROM epoch')
  return epochIn(row?.epoch)
}

/** Reads the text of the one row. */
export const epochIn = (text: string | undefined): Epoch =>
  text === undefined ? { v: 1, seq: 0, targets: [] } : JSON.parse(text)

/** Whether any of what an action is about was killed, by the newest epoch that is known here or there. */
export const isKilled = (
  storage: DurableObjectStorage,
  told: Epoch | undefined,
  targets: readonly string[],
  known = readEpoch(storage),
): boolean => {
  const isNews = told !== undefined && told.seq > known.seq
  if (isNews) writeEpoch(storage, told)
  return (isNews ? told : known).targets.some(target => targets.includes(target))
}

/** Writes the epoch where all Workers read it, until the newest is there. Only the alarm writes, one after the other. */
export const publishing = (storage: DurableObjectStorage, kv: KVNamespace, clock: () => number): Handler => {
  let written = 0
  return {
    run: async () => {
      const self = readSelf(storage)
      if (!self) return
      const epoch = readEpoch(storage)
      await kv.put(nameOf('epoch', self.tenant), JSON.stringify(epoch))
      written = epoch.seq
    },
    next: () => (readEpoch(storage).seq > written ? clock() : undefined),
  }
}

const writeEpoch = (storage: DurableObjectStorage, epoch: Epoch): void => {
  storage.sql.exec('INSERT OR REPLACE INTO epoch (one, epoch) VALUES (1, ?)', JSON.stringify(epoch))
}
