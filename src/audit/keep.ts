import { drizzle } from 'drizzle-orm/d1'
import type { SigningEnv } from '../identity/keys.ts'
import type { Source, SourceIo } from '../policy/source.ts'
import { activations } from '../policy/tables.ts'
import { archive, type Signed } from './archive.ts'
import { type LogReader, readLatest } from './log/bucket.ts'
import { logOrigin } from './log/names.ts'
import { vkeyOf } from './log/note.ts'
import { logVerifiers } from './log/signer.ts'

type KeepEnv = SigningEnv & Pick<Env, 'DB' | 'RECORD' | 'ORIGIN'>

/** How often a tenant is gone on with in one run: an invocation may only do so much. What is left the next one does. */
const TURNS = 10

/** Moves what is beyond each tenant's retention to the bucket. One tenant's trouble is told, and is no other's. */
export const keepRecords = async (env: KeepEnv, source: Source, io: SourceIo): Promise<void> => {
  for (const tenant of await tenantsIn(env.DB)) {
    try {
      await keepRecord(env, tenant, source, io)
    } catch (error) {
      console.error(`tenant ${tenant}: its record could not be archived:`, error)
    }
  }
}

const keepRecord = async (env: KeepEnv, tenant: string, source: Source, io: SourceIo): Promise<void> => {
  const found = await source.current(tenant, io)
  const keep = found.ok ? found.bundle.settings.log?.keep : undefined
  const signed = keep && (await signedLog(env, tenant))
  if (!keep || !signed) return
  for (let turn = 0; turn < TURNS; turn++) {
    const reply = await archive(env.DB, signed.log, signed.signed, keep, io.now)
    if (reply.kind === 'unsound') {
      console.error(
        `tenant ${tenant}: bundle ${reply.bundle} of the log does not verify, and stays:`,
        reply.findings[0],
      )
      return
    }
    if (!reply.more) return
  }
}

/** A tenant's log as it was last signed; `undefined` before its first checkpoint. */
export const signedLog = async (
  env: Pick<KeepEnv, 'RECORD' | 'ORIGIN'> & SigningEnv,
  tenant: string,
): Promise<{ log: LogReader; signed: Signed } | undefined> => {
  const log = { bucket: env.RECORD, tenant }
  const latest = await readLatest(log)
  const keys = (await logVerifiers(env, logOrigin(env, tenant))).map(vkeyOf)
  return latest && { log, signed: { note: latest.note, size: latest.size, keys } }
}

/** Every tenant that a bundle was ever pushed for. */
const tenantsIn = async (db: D1Database): Promise<string[]> => {
  const rows = await drizzle(db).selectDistinct({ tenant: activations.tenant }).from(activations).all()
  return rows.map(({ tenant }) => tenant)
}
