import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { CollectCall, CollectReply } from '../../../src/agent/calls/receipts.ts'
import { collectorOf } from '../../../src/audit/collectors.ts'
import { logOf } from '../../../src/audit/log/names.ts'
import { readCheckpoint, readNote, signatureTypes, verifierOf, vkeyOf, writeNote } from '../../../src/audit/log/note.ts'
import { createVerifier, type Remembered, type Verdict } from '../../../src/audit/verify.ts'
import type { Tenant } from '../../../src/policy/tenant.ts'
import { clock } from '../../clock.ts'
import { createWorld } from '../../http/world.ts'
import { chainOf } from '../build.ts'

/** A tenant with a log, and an auditor who reads it. */
export const createLogWorld = async (settings: Partial<Tenant> = {}) => {
  const world = await createWorld({
    change: bundle => {
      bundle.settings = { ...bundle.settings, ...settings }
    },
  })
  const auditor = await world.token({ roles: ['auditor'] })
  const get = (path: string) => world.send('GET', path, undefined, { token: auditor })
  const getJson = async (path: string) => JSON.parse(await (await get(path)).text())
  return { ...world, auditor, get, getJson }
}
export type LogWorld = Awaited<ReturnType<typeof createLogWorld>>

export const collect = async (call: CollectCall): Promise<CollectReply> =>
  collectorOf(env.COLLECTOR, call.tenant, call.chain).collect(call)

/** Lets the next checkpoint be made. */
export const publish = async (tenant: string): Promise<void> => {
  clock.advance(3_000)
  if (!(await runDurableObjectAlarm(logOf(env.LOG, tenant)))) throw new Error('nothing was to be published')
}

/** A witness: its key as a tenant lists it, and the line by which it says that it has seen a note. */
export const createWitness = async (name = 'witness.example/w1') => {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair
  const raw = new Uint8Array((await crypto.subtle.exportKey('raw', pair.publicKey)) as ArrayBuffer)
  const witness = verifierOf(name, signatureTypes.cosignature, raw)
  const lineFor = async (note: string, time = 1_800_000_000, as = name): Promise<string> => {
    const stamp = Buffer.alloc(8)
    stamp.writeBigUInt64BE(BigInt(time))
    const message = new TextEncoder().encode(`cosignature/v1\ntime ${time}\n${readNote(note)?.text ?? ''}`)
    const signature = Buffer.concat([stamp, Buffer.from(await crypto.subtle.sign('Ed25519', pair.privateKey, message))])
    return writeNote('', [{ name: as, id: witness.id, signature }]).slice(1)
  }
  return { name, key: vkeyOf(witness), lineFor }
}

export const manyOf = (tenant: string, count: number, chain: string = crypto.randomUUID()): CollectCall =>
  chainOf(
    Array.from({ length: count }, () => ({})),
    { tenant, chain },
  )

/** What `countersign audit export` writes, line by line. */
export const exportOf = async (
  { tenant, get, getJson }: Pick<LogWorld, 'tenant' | 'get' | 'getJson'>,
  source = 'd1',
  from = 0,
): Promise<string[]> => {
  const { checkpoint, keys } = await getJson('/v1/log')
  const size = readCheckpoint(readNote(checkpoint)?.text ?? '')?.size ?? 0
  const lines = [JSON.stringify({ type: 'export', v: 1, tenant, from: from * 256, to: size, checkpoint, keys })]
  for (let n = from; n * 256 < size; n++) {
    const page = await get(`/v1/log/bundles/${n}?size=${size}&source=${source}`)
    const text = new TextDecoder().decode(await page.arrayBuffer())
    if (page.status !== 200) throw new Error(text)
    lines.push(...text.trimEnd().split('\n'))
  }
  return lines
}

export const verify = async (
  lines: readonly string[],
  keys: readonly string[],
  remembered: Remembered[] = [],
): Promise<Verdict> => {
  const verifier = createVerifier(keys, remembered)
  for (const line of lines) await verifier.line(line)
  return verifier.end()
}
