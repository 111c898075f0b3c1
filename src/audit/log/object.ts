import { DurableObject } from 'cloudflare:workers'
import { arm, runDue } from '../../durable/due.ts'
import { migrate } from '../../durable/schema.ts'
import type { SigningEnv } from '../../identity/keys.ts'
import { type AppendCall, type AppendReply, append } from './append.ts'
import { type CosignReply, cosign } from './cosign.ts'
import { chainsAfter, type LoggedChain, type LogStatus, leafOf, status } from './look.ts'
import { logOrigin, logPrefix } from './names.ts'
import { publishing, putCheckpoint } from './publish.ts'
import { schema } from './schema.ts'
import { logSigner } from './signer.ts'

/** What the object needs of its Worker. `NOW` is there in tests alone. */
export type LogEnv = SigningEnv & { RECORD: R2Bucket; ORIGIN: string; NOW?: () => number }

/**
 * One tenant's log: a Merkle tree over the links of all its chains. It takes what collectors have written to D1, signs
 * a checkpoint every few seconds while there is something new, and leaves the tree's tiles in the bucket for everyone
 * to read: no reader touches this object.
 */
export class LogObject extends DurableObject<LogEnv> {
  readonly #clock = (): number => this.env.NOW?.() ?? Date.now()

  constructor(ctx: DurableObjectState, env: LogEnv) {
    super(ctx, env)
    migrate(ctx.storage, schema)
    arm(ctx.storage)
  }

  append(call: AppendCall): AppendReply[] {
    if (call.v !== 1) throw new Error('written by a newer Worker')
    return append(this.ctx.storage, call, logOrigin(this.env, call.tenant), this.#clock())
  }

  /** The leaf of a chain's receipt; `undefined` where the log doesn't have it. */
  leafOf(place: { chain: string; seq: number }): number | undefined {
    return leafOf(this.ctx.storage, place)
  }

  /** Chains by name, and how far each has come. */
  chains(page: { after: string; limit: number }): LoggedChain[] {
    return chainsAfter(this.ctx.storage, page)
  }

  status(): LogStatus {
    return status(this.ctx.storage)
  }

  async cosign({ size, lines, trusted }: { size: number; lines: string; trusted: string[] }): Promise<CosignReply> {
    const reply = await cosign(this.ctx.storage, size, lines, trusted)
    if (reply.kind === 'accepted') await putCheckpoint(this.ctx.storage, this.#place())
    return reply
  }

  override async alarm(): Promise<void> {
    const { storage } = this.ctx
    const signer = (origin: string) => logSigner(this.env, origin)
    const publish = publishing(storage, { ...this.#place(), signer, clock: this.#clock })
    await runDue(storage, { publish }, this.#clock)
  }

  #place(): { bucket: R2Bucket; prefix: string } {
    const { tenant } = this.ctx.storage.sql.exec<{ tenant: string }>('SELECT tenant FROM log').one()
    return { bucket: this.env.RECORD, prefix: logPrefix(tenant) }
  }
}
