import type { NoteCall } from './call.ts'
import { append } from './chain.ts'
import { openSelf } from './self.ts'

/** Puts on a chain what happened beside decisions. */
export const note = (
  storage: DurableObjectStorage,
  chain: string,
  { tenant, agent, kind, at, body, secrets }: NoteCall,
  clock: () => number,
): { seq: number; hash: string } =>
  storage.transactionSync(() => {
    const self = openSelf(storage, { tenant, chain, agent })
    const { seq, hash } = append(storage, self, { kind, at, body, secrets }, clock)
    return { seq, hash }
  })
