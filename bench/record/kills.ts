import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { readCheckpoint, readNote } from '../../src/audit/log/note.ts'
import { createVerifier } from '../../src/audit/verify.ts'
import { buildHelper, buildWorker } from '../http/build.ts'
import { cloudConfig, workerConfig } from '../http/config.ts'
import { migrate, rowsOf } from '../http/database.ts'
import { createScene, type Scene } from '../http/scene.ts'
import { startWorkerd } from '../http/workerd.ts'

/**
 * Kills the process that all Durable Objects run in, over and over, in the middle of load: `node bench/record/kills.ts`.
 * Afterwards every allow that a client was told must be in D1, once, on an unbroken chain, and the log must hold exactly
 * what D1 holds. Exits with 1 if not.
 */
const { values } = parseArgs({ options: { kills: { type: 'string', default: '100' } } })
const TENANT = 'counted'
const LEAST_MS = 150
const MOST_MS = 900

const main = async (kills: number): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-kills-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  const scene = await createScene()
  const { script } = await buildWorker(join(dir, 'dist'), { minify: true })
  const [floors, kv, d1, r2] = await Promise.all([
    buildHelper('floors', dir),
    buildHelper('kv', dir),
    buildHelper('d1', dir),
    buildHelper('r2', dir),
  ])
  const setting = { dir, scripts: { countersign: script, floors, kv, d1, r2 }, vars: scene.vars, keys: scene.keys }
  const cloud = await startWorkerd(dir, 'cloud', cloudConfig(setting))
  await migrate(cloud.ports.d1)
  const allowed: string[] = []
  try {
    for (let kill = 1; kill <= kills; kill++) {
      const server = await startWorkerd(dir, 'worker', workerConfig(setting, cloud.ports))
      const stop = new AbortController()
      const clients = scene.agents.map(agent => client(agent, server.ports.countersign, stop.signal, allowed))
      await sleep(LEAST_MS + Math.random() * (MOST_MS - LEAST_MS))
      await server.kill()
      stop.abort()
      await Promise.all(clients)
      if (kill % 10 === 0) console.log(`${kill} kills, ${allowed.length.toLocaleString('en')} allows told`)
    }
    const server = await startWorkerd(dir, 'worker', workerConfig(setting, cloud.ports))
    try {
      await judge(allowed, cloud.ports.d1, server.ports.countersign, scene)
    } finally {
      await server.stop()
    }
  } finally {
    await cloud.stop()
  }
}

/** One agent, asking one thing after the other until its server is gone; notes what it was allowed. */
const client = async (
  { name, user, token, asks }: Scene['agents'][number],
  port: number,
  signal: AbortSignal,
  allowed: string[],
): Promise<void> => {
  for (let sent = 0; !signal.aborted; sent++) {
    const subject = user === undefined ? { type: 'Agent', id: name } : { type: 'User', id: user }
    try {
      const response = await fetch(`http://127.0.0.1:${port}/${TENANT}/access/v1/evaluation`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ subject, ...asks[sent % asks.length] }),
        signal,
      })
      const { decision, context } = v.parse(Told, await response.json())
      if (decision) allowed.push(context.evaluation_id)
    } catch {
      // the server is gone, with or without the answer
      return
    }
  }
}

const Told = v.object({ decision: v.boolean(), context: v.object({ evaluation_id: v.string() }) })
const Row = v.object({
  chain: v.string(),
  seq: v.number(),
  hash: v.string(),
  prev: v.string(),
  evaluation_id: v.string(),
})

const judge = async (allowed: string[], database: number, port: number, { auditor }: Scene): Promise<void> => {
  const get = async (path: string) => {
    const headers = { authorization: `Bearer ${auditor}` }
    const response = await fetch(`http://127.0.0.1:${port}/${TENANT}${path}`, { headers })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response.text()
  }
  const read = () =>
    rowsOf(database, `SELECT chain, seq, hash, prev, evaluation_id FROM receipts ORDER BY chain, seq`, Row)
  // objects wake by their alarms and send what they still owe
  const waited = await until(async () => {
    const log = v.parse(Log, JSON.parse(await get('/v1/log')))
    const rows = await read()
    const found = new Set(rows.map(row => row.evaluation_id))
    return (
      allowed.every(id => found.has(id)) && log.published === log.size && log.size === rows.length + log.signers.length
    )
  })
  const rows = await read()
  const problems: string[] = waited ? [] : ['not everything arrived within a minute']
  const times = Map.groupBy(rows, row => row.evaluation_id)
  for (const id of allowed) {
    const found = times.get(id)?.length ?? 0
    if (found !== 1) problems.push(`an allow that was told is in D1 ${found} times: ${id}`)
  }
  for (const [chain, links] of Map.groupBy(rows, row => row.chain)) {
    links.forEach(({ seq, prev }, index) => {
      if (seq !== index + 1 || prev !== (links[index - 1]?.hash ?? '-')) problems.push(`${chain} breaks at ${seq}`)
    })
  }
  const verdict = await verified(get)
  problems.push(...verdict.findings.map(finding => JSON.stringify(finding)))
  if (verdict.receipts !== rows.length) problems.push(`the log holds ${verdict.receipts} receipts, D1 ${rows.length}`)
  for (const problem of problems.slice(0, 20)) console.error(problem)
  console.log(
    `${allowed.length.toLocaleString('en')} allows told, ${rows.length.toLocaleString('en')} receipts in D1 and in the log, ` +
      `${times.size.toLocaleString('en')} decisions, ${problems.length} problems`,
  )
  if (problems.length > 0) process.exitCode = 1
}

const Log = v.object({
  size: v.number(),
  published: v.number(),
  checkpoint: v.string(),
  keys: v.array(v.string()),
  signers: v.array(v.unknown()),
})

const verified = async (get: (path: string) => Promise<string>) => {
  const { checkpoint, keys } = v.parse(Log, JSON.parse(await get('/v1/log')))
  const size = readCheckpoint(readNote(checkpoint)?.text ?? '')?.size ?? 0
  const verifier = createVerifier(keys)
  await verifier.line(JSON.stringify({ type: 'export', v: 1, tenant: TENANT, from: 0, to: size, checkpoint, keys }))
  for (let n = 0; n * 256 < size; n++) {
    const page = await get(`/v1/log/bundles/${n}?size=${size}`)
    for (const line of page.trimEnd().split('\n')) await verifier.line(line)
  }
  return verifier.end()
}

const until = async (holds: () => Promise<boolean>): Promise<boolean> => {
  for (let tries = 0; tries < 120; tries++) {
    try {
      if (await holds()) return true
    } catch {
      // the log has no checkpoint yet
    }
    await sleep(500)
  }
  return false
}

await main(Number(values.kills))
