import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import { readCheckpoint, readNote } from '../../../src/audit/log/note.ts'
import type { Finding } from '../../../src/audit/verify.ts'
import { agentName } from '../../../src/decision/prepare.ts'
import { contentHash, sha256 } from '../../../src/durable/hash.ts'
import { nameOf } from '../../../src/durable/names.ts'
import { clock } from '../../clock.ts'
import { asking, refund } from '../../http/world.ts'
import { chainOf } from '../build.ts'
import { collect, createLogWorld, exportOf, type LogWorld, manyOf, publish, verify } from './build.ts'

afterEach(() => clock.reset())

const keysOf = async ({ getJson }: LogWorld): Promise<string[]> => (await getJson('/v1/log')).keys

type Line = Record<string, unknown> & { type: string; chain: string; seq: number; body: Record<string, unknown> }
const edit = (line: string, change: (line: Line) => void): string => {
  const read: Line = JSON.parse(line)
  change(read)
  return JSON.stringify(read)
}
const linkOf = ({ chain, seq, prev, kind, at, bodyCommit }: Line) => ({ v: 1, chain, seq, prev, kind, at, bodyCommit })

/** One way to bend an export at one receipt's line. */
const bends: Record<string, (lines: string[], at: number) => string[]> = {
  'changes the body': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line.body, { action: 'x' })),
    ),
  'changes the body and rehashes all': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => {
        Object.assign(line.body, { action: 'x' })
        line.bodyCommit = contentHash(line.body)
        line.hash = contentHash(linkOf(line))
      }),
    ),
  'changes a personal value': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line, { secrets: { resource: { salt: 's', value: 'v' } } })),
    ),
  'changes the time': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line, { at: 1 })),
    ),
  'changes the kind': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line, { kind: 'resumption' })),
    ),
  'changes what is searched': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line.columns as object, { outcome: 'deny' })),
    ),
  removes: (lines, at) => lines.toSpliced(at, 1),
  doubles: (lines, at) => lines.toSpliced(at, 0, lines[at] ?? ''),
  'swaps it with the next': (lines, at) =>
    at + 1 < lines.length && lines[at + 1]?.startsWith('{"type":"receipt"')
      ? lines.with(at, lines[at + 1] ?? '').with(at + 1, lines[at] ?? '')
      : lines.with(at, lines[at - 1] ?? '').with(at - 1, lines[at] ?? ''),
  'swaps its place with the next': (lines, at) =>
    lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line, { seq: line.seq + 1 })),
    ),
  'inserts another': (lines, at) =>
    lines.toSpliced(
      at + 1,
      0,
      edit(lines[at] ?? '', line => Object.assign(line, { seq: 9_999, leaf: 9_999 })),
    ),
}

const named = (findings: Finding[], { chain, seq }: Line): boolean =>
  findings.some(finding => finding.chain === chain && [seq - 1, seq, seq + 1, 9_999].includes(finding.seq ?? 0))

it('an untouched export has nothing to be said of it', async () => {
  const world = await createLogWorld()
  for (const count of [200, 90, 3]) await collect(manyOf(world.tenant, count))
  await publish(world.tenant)
  const lines = await exportOf(world)
  const verdict = await verify(lines, await keysOf(world))
  expect(verdict.findings).toEqual([])
  expect(verdict).toMatchObject({ receipts: 293, chains: 3, from: 0, to: 294 })
  // a part of it, too
  expect((await verify(await exportOf(world, 'd1', 1), await keysOf(world))).findings).toEqual([])
})

it('what a gateway searches among subjects, on a chain of no agent, verifies, and under no other name', async () => {
  const world = await createLogWorld()
  const query = { subject: { type: 'Agent' }, action: { name: 'read' }, resource: { type: 'Order', id: '7' } }
  const answer = await world.post('/access/v1/search/subject', query, { token: await world.pepToken() })
  expect(answer.status).toBe(200)
  clock.advance(3_000)
  for (const shard of ['0', '1', '2', '3'])
    await runDurableObjectAlarm(env.AGENT.getByName(nameOf('searches', world.tenant, shard)))
  await publish(world.tenant)
  const [lines, keys] = [await exportOf(world), await keysOf(world)]
  expect(await verify(lines, keys)).toMatchObject({ findings: [], receipts: 1 })
  const at = lines.findIndex(line => line.startsWith('{"type":"receipt"'))
  for (const agent of ['searches/9', 'unattributed/0', 'Agent::"clerk"']) {
    const bent = lines.with(
      at,
      edit(lines[at] ?? '', line => Object.assign(line.columns as object, { agent })),
    )
    expect((await verify(bent, keys)).findings, agent).toHaveLength(1)
  }
})

it.each(Object.keys(bends))('whoever %s in an export is found out, at any receipt', async how => {
  const world = await createLogWorld()
  for (const count of [150, 130]) await collect(manyOf(world.tenant, count))
  await publish(world.tenant)
  const [lines, keys] = [await exportOf(world), await keysOf(world)]
  expect((await verify(lines, keys)).findings).toEqual([])
  const receipts = lines.flatMap((line, at) => (line.startsWith('{"type":"receipt"') ? [at] : []))
  for (const at of receipts.filter((_, index) => index % 41 === 0 || index > receipts.length - 3)) {
    const { findings } = await verify(bends[how]?.(lines, at) ?? [], keys)
    const line: Line = JSON.parse(lines[at] ?? '')
    expect(
      named(findings, line) || findings.some(({ leaf }) => leaf === line.leaf),
      `${how} ${line.seq}: ${JSON.stringify(findings)}`,
    ).toBe(true)
    // one bad receipt is one: its neighbours are not blamed, but for the one that it was swapped with
    expect(new Set(findings.map(({ chain, seq }) => `${chain} ${seq}`)).size).toBeLessThanOrEqual(2)
  }
})

it('whoever rewrites entries, leaves, bundles or the checkpoint along with a receipt is found out', async () => {
  const world = await createLogWorld()
  await collect(manyOf(world.tenant, 300))
  await publish(world.tenant)
  const [lines, keys] = [await exportOf(world), await keysOf(world)]
  const at = (type: string, nth = 0) =>
    lines.flatMap((line, index) => (line.startsWith(`{"type":"${type}"`) ? [index] : []))[nth] ?? -1
  const bent = async (index: number, change: (line: Line) => void) =>
    (await verify(lines.with(index, edit(lines[index] ?? '', change)), keys)).findings
  const [first] = await bent(at('bundle'), line =>
    Object.assign(line.entries as object, { 7: '{"chain":"c","hash":"h","seq":1}' }),
  )
  expect(first).toMatchObject({ leaf: 7 })
  expect(
    await bent(at('bundle', 1), line =>
      Object.assign(line, { leaves: (line.leaves as string).replace(/^.{8}/, 'AAAAAAAA') }),
    ),
  ).not.toEqual([])
  expect(
    await bent(at('export'), line =>
      Object.assign(line, { checkpoint: (line.checkpoint as string).replace('\n301\n', '\n300\n') }),
    ),
  ).not.toEqual([])
  expect(await bent(at('export'), line => Object.assign(line, { to: 256 }))).toEqual([])
  const without = lines.filter((_, index) => index < at('bundle', 1))
  expect((await verify(without, keys)).findings[0]?.problem).toContain('ends before leaf 301')
  expect((await verify(lines.toSpliced(1, at('bundle', 1) - 1), keys)).findings[0]?.problem).toContain(
    'bundle 0 is missing',
  )
  const stranger = keys.map(key => key.replace(/.$/, 'x'))
  expect((await verify(lines, stranger)).findings[0]?.problem).toContain('not signed')
})

it('a log that shrank or was rewritten since it was last seen is found out', async () => {
  const world = await createLogWorld()
  const chain = manyOf(world.tenant, 300)
  await collect({ ...chain, receipts: chain.receipts.slice(0, 100) })
  await publish(world.tenant)
  const before = await exportOf(world)
  await collect(chain)
  await publish(world.tenant)
  const [after, keys] = [await exportOf(world), await keysOf(world)]
  const seenIn = (lines: string[]) => {
    const checkpoint = readCheckpoint(readNote(JSON.parse(lines[0] ?? '').checkpoint)?.text ?? '')
    if (!checkpoint) throw new Error('no checkpoint')
    return checkpoint
  }
  const old = seenIn(before)
  expect((await verify(after, keys, [old, seenIn(after)])).findings).toEqual([])
  expect((await verify(before, keys, [seenIn(after)])).findings[0]?.problem).toContain('shrunk')
  expect((await verify(after, keys, [{ ...old, root: new Uint8Array(32) }])).findings[0]?.problem).toContain(
    'rewritten',
  )
  // a part that doesn't begin at the beginning brings the proof along
  const part = await exportOf(world, 'd1', 1)
  const { proof } = await world.getJson(`/v1/log/consistency?from=${old.size}&to=301`)
  const proven = part.toSpliced(1, 0, JSON.stringify({ type: 'consistency', from: old.size, proof }))
  expect((await verify(proven, keys, [old])).findings).toEqual([])
  expect((await verify(proven, keys, [{ ...old, root: new Uint8Array(32) }])).findings).toHaveLength(1)
})

/** The one receipt that is named, whatever is said of it. */
const only = (findings: Finding[]) => {
  const [first, ...others] = findings
  const { chain, seq } = first ?? {}
  if (others.some(other => other.chain !== chain || other.seq !== seq)) throw new Error(JSON.stringify(findings))
  return { chain, seq }
}

/** Real decisions of two agents, in D1 and in the log. */
const decided = async () => {
  const world = await createLogWorld()
  for (const id of ['clerk', 'clerk', 'clerk']) {
    const token = await world.agentToken(id)
    await world.evaluate(asking('read'), { token })
    await world.evaluate(refund(9_000), { token })
  }
  const stranger = await world.token({ roles: ['agent'], agent: { type: 'Agent', id: 'nobody' } })
  await world.evaluate({ ...asking('read'), subject: { type: 'Agent', id: 'nobody' } }, { token: stranger })
  const chain = agentName(world.tenant, { type: 'Agent', id: 'clerk' })
  clock.advance(2_000)
  await runDurableObjectAlarm(env.AGENT.getByName(chain))
  await publish(world.tenant)
  return { world, chain, keys: await keysOf(world) }
}

it('whoever changes, removes or inserts a receipt in D1 is found out, column by column', {
  timeout: 30_000,
}, async () => {
  const { world, chain, keys } = await decided()
  const check = async () => (await verify(await exportOf(world), keys)).findings
  expect(await check()).toEqual([])
  const { results } = await env.DB.prepare('SELECT * FROM receipts WHERE chain = ? ORDER BY seq').bind(chain).all()
  expect(results).toHaveLength(6)
  const putBack = async (row: Record<string, unknown>) => {
    const names = Object.keys(row)
    await env.DB.prepare(`INSERT OR REPLACE INTO receipts (${names}) VALUES (${names.map(() => '?')})`)
      .bind(...Object.values(row))
      .run()
  }
  for (const row of [results[0], results[3], results[5]]) {
    if (!row) throw new Error('no row')
    const { seq } = row
    for (const column of Object.keys(row).filter(name => !['id', 'chain', 'seq', 'tenant'].includes(name))) {
      const changed = column === 'at' ? 'at + 1' : column === 'body' ? `replace(body, '"action"', '"Action"')` : `'x'`
      if (column === 'secrets')
        await env.DB.prepare(`UPDATE receipts SET secrets = replace(secrets, '"value":"', '"value":"x') WHERE id = ?`)
          .bind(row.id)
          .run()
      else await env.DB.prepare(`UPDATE receipts SET ${column} = ${changed} WHERE id = ?`).bind(row.id).run()
      expect(only(await check()), column).toEqual({ chain, seq })
      await putBack(row)
    }
    for (const moved of ['seq = seq + 100', "tenant = 'other'", "chain = 'other'"]) {
      await env.DB.prepare(`UPDATE receipts SET ${moved} WHERE id = ?`).bind(row.id).run()
      expect(await check(), moved).toEqual([
        { problem: 'the receipt is missing', chain, seq, leaf: expect.any(Number) },
      ])
      await env.DB.prepare('DELETE FROM receipts WHERE id = ?').bind(row.id).run()
      await putBack(row)
    }
    await env.DB.prepare('DELETE FROM receipts WHERE id = ?').bind(row.id).run()
    expect(await check()).toEqual([{ problem: 'the receipt is missing', chain, seq, leaf: expect.any(Number) }])
    await putBack(row)
  }
  // put in behind the last: it is in no bundle, so no export shows it, and the chain's own next receipt stops on it
  const [last] = results.slice(-1)
  await putBack({ ...last, id: 900_000, seq: 7, hash: sha256('forged'), evaluation_id: 'forged' })
  await world.evaluate(asking('read'), { token: await world.agentToken() })
  clock.advance(2_000)
  await runDurableObjectAlarm(env.AGENT.getByName(chain))
  const stopped = await world.evaluate(asking('read'), { token: await world.agentToken() })
  expect(stopped.context).toMatchObject({ outcome: 'deny', reason: 'chain_fork', recorded: false })
  const { forks } = await world.getJson('/v1/backlog')
  expect(forks).toEqual([{ chain, agent: 'Agent::"clerk"', seq: 7 }])
})

it("whoever changes an agent's own store is found out, before or after it was sent", { timeout: 30_000 }, async () => {
  const { world, chain, keys } = await decided()
  const agent = env.AGENT.getByName(chain)
  const check = async (source: string) => (await verify(await exportOf(world, source), keys)).findings
  const sql = (text: string) => runInDurableObject(agent, (_, { storage }) => void storage.sql.exec(text))
  expect(await check('agents')).toEqual([])
  for (let seq = 1; seq <= 5; seq++) {
    for (const change of [
      `UPDATE receipt SET body = replace(body, '"action"', '"Action"') WHERE seq = ${seq}`,
      `UPDATE receipt SET secrets = '{}x' WHERE seq = ${seq}`,
      `UPDATE receipt SET at = at + 1 WHERE seq = ${seq}`,
      `UPDATE receipt SET hash = 'x' WHERE seq = ${seq}`,
      `DELETE FROM receipt WHERE seq = ${seq}`,
    ]) {
      await sql('CREATE TABLE kept AS SELECT * FROM receipt')
      await sql(change)
      expect(only(await check('agents')), change).toEqual({ chain, seq })
      await sql('DELETE FROM receipt')
      await sql('INSERT INTO receipt SELECT * FROM kept')
      await sql('DROP TABLE kept')
    }
  }
  // before it is sent: what reaches D1 isn't what the hash says
  await world.evaluate(asking('read'), { token: await world.agentToken() })
  await sql(`UPDATE receipt SET body = replace(body, '"allow"', '"ALLOW"') WHERE seq = 7`)
  clock.advance(2_000)
  await runDurableObjectAlarm(agent)
  await publish(world.tenant)
  expect((await check('d1'))[0]).toMatchObject({ chain, seq: 7, problem: 'the body was changed' })
})

it('a chain that another history replaces is stopped by the log as well', async () => {
  const world = await createLogWorld()
  const chain = manyOf(world.tenant, 4)
  await collect(chain)
  // D1 loses the chain, and a forger writes another
  await env.DB.prepare('DELETE FROM receipts WHERE chain = ?').bind(chain.chain).run()
  const forged = chainOf(
    Array.from({ length: 5 }, () => ({})),
    { tenant: world.tenant, chain: chain.chain },
  )
  expect(await collect(forged)).toMatchObject({ kind: 'fork' })
})
