import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { createPublicKey } from 'node:crypto'
import { LogCheckpoint, verifyCheckpoint } from '@sigstore/verify/dist/tlog/checkpoint.js'
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js'
import { compactVerify, createLocalJWKSet } from 'jose'
import { afterEach, expect, it } from 'vitest'
import { readBundle, readEntry, writeEntry } from '../../../src/audit/log/entry.ts'
import { logOf, logPrefix } from '../../../src/audit/log/names.ts'
import { readCheckpoint, readNote, readVkey, type verifierOf } from '../../../src/audit/log/note.ts'
import { hashesOf, readTilePath, tilePath, WIDTH, widthAt } from '../../../src/audit/log/tiles.ts'
import { isConsistent, leafHash, treeHash } from '../../../src/audit/log/tree.ts'
import { clock } from '../../clock.ts'
import { broken, mend } from '../../doubles.ts'
import { asking, problemIn } from '../../http/world.ts'
import { collect, createLogWorld, createWitness, manyOf, publish } from './build.ts'

afterEach(() => {
  mend()
  clock.reset()
})

const world = (log: { public?: boolean; witnesses?: string[] } = {}) =>
  createLogWorld({ log: { public: false, witnesses: [], ...log } })

/** All that a monitor reads: the checkpoint, and every tile that its size asks for. */
const monitor = async (get: (path: string) => Promise<Response>) => {
  const note = await (await get('/v1/log/checkpoint')).text()
  const checkpoint = readCheckpoint(readNote(note)?.text ?? '')
  if (!checkpoint) throw new Error(note)
  const { size } = checkpoint
  const bytes = async (level: number | 'entries', n: number, width: number) => {
    const response = await get(`/v1/log/${tilePath({ level, n, width })}`)
    if (response.status !== 200) throw new Error(`${tilePath({ level, n, width })}: ${response.status}`)
    return new Uint8Array(await response.arrayBuffer())
  }
  const entries: Uint8Array[] = []
  const leaves: Uint8Array[] = []
  for (let n = 0; widthAt(size, 0, n) > 0; n++) {
    const width = widthAt(size, 0, n)
    entries.push(...(readBundle(await bytes('entries', n, width)) ?? []))
    leaves.push(...hashesOf(await bytes(0, n, width)))
  }
  return { note, checkpoint, entries, leaves, bytes }
}

it('holds every receipt once, under a checkpoint that another implementation accepts', async () => {
  const { tenant, get, identifier } = await world()
  const calls = [manyOf(tenant, 300), manyOf(tenant, 1), manyOf(tenant, 250)]
  for (const call of calls) expect(await collect(call)).toEqual({ kind: 'stored', seq: call.receipts.length })
  for (const call of calls) expect((await collect(call)).kind).toBe('stored')
  await publish(tenant)

  const { note, checkpoint, entries, leaves } = await monitor(get)
  expect(checkpoint.origin).toBe(`${identifier.replace('https://', '')}/v1/log`)
  expect(checkpoint.size).toBe(552)
  expect(entries.map(entry => Buffer.from(leafHash(entry)).toString('hex'))).toEqual(
    leaves.map(hash => Buffer.from(hash).toString('hex')),
  )
  expect(Buffer.from(treeHash(leaves))).toEqual(checkpoint.root)
  const links = calls.flatMap(({ chain, receipts }) => receipts.map(({ seq, hash }) => ({ chain, seq, hash })))
  const read = entries.map(readEntry)
  expect(read.filter(entry => entry && 'hash' in entry)).toHaveLength(links.length)
  expect(read).toEqual(expect.arrayContaining(links))

  // sigstore's reader of checkpoints and inclusion proofs
  const { keys } = JSON.parse(await (await get('/v1/log')).text())
  const verifiers = keys.map(readVkey)
  const tlogs = verifiers.map((verifier: ReturnType<typeof verifierOf>) => ({
    logID: Buffer.from(verifier.id),
    baseURL: `https://${verifier.name}`,
    publicKey: createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(verifier.key).toString('base64url') },
      format: 'jwk',
    }),
  }))
  const entry = (proof: object) => ({
    canonicalizedBody: Buffer.alloc(0),
    inclusionProof: { checkpoint: { envelope: note }, ...proof },
  })
  const theirs = verifyCheckpoint(entry({}) as never, tlogs)
  expect(theirs).toBeInstanceOf(LogCheckpoint)
  expect(() =>
    verifyCheckpoint({ inclusionProof: { checkpoint: { envelope: note.replace('552', '553') } } } as never, tlogs),
  ).toThrow()

  for (const call of calls) {
    const { receipts, chain } = call
    const last = receipts.at(-1)
    const id = JSON.parse(last?.body ?? '').decision.evaluation_id
    const proof = JSON.parse(await (await get(`/v1/decisions/${id}/proof`)).text())
    const body = Buffer.from(writeEntry({ chain, seq: last?.seq ?? 0, hash: last?.hash ?? '' }))
    const theirEntry = (leaf: number) =>
      ({
        canonicalizedBody: body,
        inclusionProof: {
          logIndex: String(leaf),
          hashes: proof.proof.map((hash: string) => Buffer.from(hash, 'base64')),
        },
      }) as never
    expect(proof.checkpoint).toBe(note)
    expect(() => verifyMerkleInclusion(theirEntry(proof.leaf), theirs)).not.toThrow()
    expect(() => verifyMerkleInclusion(theirEntry(proof.leaf + 1), theirs)).toThrow()
  }
})

it('gives a receipt that is complete by itself: identities, policies and bundle, signed, and void when changed', async () => {
  const made = await createLogWorld()
  const user = { type: 'User', id: 'ann' }
  const token = await made.agentToken('clerk', { user, admit: true, sid: 's-1' })
  const { context } = await made.evaluate(asking('read'), { token })
  clock.advance(2_000)
  await runDurableObjectAlarm(made.object())
  await publish(made.tenant)
  const jws = await (await made.get(`/v1/decisions/${context.evaluation_id}/signed`)).text()
  const jwks = JSON.parse(await (await made.send('GET', '/.well-known/jwks.json', undefined)).text())
  const { payload } = await compactVerify(jws, createLocalJWKSet(jwks))
  const { receipt, log } = JSON.parse(new TextDecoder().decode(payload))
  expect(receipt.body).toMatchObject({
    agent: { type: 'Agent', id: 'clerk' },
    action: 'read',
    roles: ['agent'],
    session: 's-1',
    decision: { outcome: context.outcome, reason: context.reason, bundle: { hash: context.bundle } },
  })
  expect(receipt.secrets.user.value).toEqual(user)
  expect(log.checkpoint).toContain('/v1/log')
  const [head, body, signature] = jws.split('.')
  const bent = Buffer.from(
    Buffer.from(body ?? '', 'base64url')
      .toString()
      .replace('clerk', 'clerc'),
  ).toString('base64url')
  await expect(compactVerify(`${head}.${bent}.${signature}`, createLocalJWKSet(jwks))).rejects.toThrow()
})

it('lets every checkpoint continue those before it, tile by tile', async () => {
  const { tenant, get } = await world()
  const chain = manyOf(tenant, 700)
  const seen = []
  for (const upTo of [1, 200, 255, 256, 257, 511, 700]) {
    const before = seen.at(-1)?.sent ?? 0
    await collect({ ...chain, receipts: chain.receipts.slice(before, upTo) })
    await publish(tenant)
    seen.push({ ...(await monitor(get)), sent: upTo })
  }
  for (const older of seen) {
    for (const newer of seen.slice(seen.indexOf(older))) {
      const [from, to] = [older.checkpoint.size, newer.checkpoint.size]
      const answer = JSON.parse(await (await get(`/v1/log/consistency?from=${from}&to=${to}`)).text())
      const proof = answer.proof.map((hash: string) => Buffer.from(hash, 'base64'))
      expect(isConsistent(older.checkpoint, newer.checkpoint, proof)).toBe(true)
    }
  }
  // partial tiles go once the full one is there, and are still served from it
  const { objects } = await env.RECORD.list({ prefix: logPrefix(tenant) })
  const mine = objects.map(({ key }) => readTilePath(key.slice(key.indexOf('/') + 1)))
  expect(mine.filter(tile => tile?.level === 0 && tile.n === 0 && tile.width < WIDTH)).toEqual([])
  const [first, last] = [seen[0], seen.at(-1)]
  expect(await last?.bytes(0, 0, 2)).toEqual(await first?.bytes(0, 0, 2))
  expect(await last?.bytes('entries', 0, 2)).toEqual(await first?.bytes('entries', 0, 2))
})

it('proves sizes between checkpoints too, and those beyond the newest are not there', async () => {
  const { tenant, get } = await world()
  await collect(manyOf(tenant, 299))
  await publish(tenant)
  const { checkpoint, leaves, entries } = await monitor(get)
  expect(checkpoint.size).toBe(300)
  for (const [from, to] of [
    [3, 5],
    [5, 257],
    [255, 299],
    [299, 300],
  ] as const) {
    const { proof } = JSON.parse(await (await get(`/v1/log/consistency?from=${from}&to=${to}`)).text())
    const [older, newer] = [from, to].map(size => ({ size, root: treeHash(leaves.slice(0, size)) }))
    if (!older || !newer) throw new Error('two sizes')
    const hashes = proof.map((hash: string) => Buffer.from(hash, 'base64'))
    expect(isConsistent(older, newer, hashes)).toBe(true)
  }
  const lines = (await (await get('/v1/log/bundles/0?size=3')).text()).split('\n')
  expect(JSON.parse(lines[0] ?? '').entries).toEqual(entries.slice(0, 3).map(entry => new TextDecoder().decode(entry)))
  expect((await get('/v1/log/consistency?from=3&to=301')).status).toBe(404)
  expect((await get('/v1/log/bundles/0?size=301')).status).toBe(404)
})

it('goes on where it was when the log, the bucket or an answer fails', async () => {
  const { tenant, get } = await world()
  const chain = manyOf(tenant, 20)
  broken.log = true
  expect(await collect(chain)).toEqual({ kind: 'unavailable' })
  mend()
  expect(await collect(chain)).toEqual({ kind: 'stored', seq: 20 })
  await publish(tenant)
  expect((await monitor(get)).checkpoint.size).toBe(21)
})

it('asks for what it lacks, and reports a chain that splits', async () => {
  const { tenant } = await world()
  const log = logOf(env.LOG, tenant)
  const { chain, receipts } = manyOf(tenant, 10)
  const links = (from: number, to: number) => {
    const part = receipts.slice(from - 1, to)
    return { chain, from, prev: part[0]?.prev ?? '', hashes: part.map(({ hash }) => hash) }
  }
  const append = async (...chains: ReturnType<typeof links>[]) => log.append({ v: 1, tenant, chains })
  expect(await append(links(3, 5))).toEqual([{ kind: 'behind', seq: 0 }])
  expect(await append(links(1, 5), links(4, 7), links(9, 10))).toEqual([
    { kind: 'logged' },
    { kind: 'logged' },
    { kind: 'behind', seq: 7 },
  ])
  const other = manyOf(tenant, 10, chain)
  const forged = { ...links(6, 9), hashes: other.receipts.slice(5, 9).map(({ hash }) => hash) }
  expect(await append(forged)).toEqual([{ kind: 'fork', seq: 7 }])
  expect(await append({ ...links(8, 9), prev: forged.hashes[1] ?? '' })).toEqual([{ kind: 'fork', seq: 7 }])
  expect(await append(links(1, 10))).toEqual([{ kind: 'logged' }])
  expect(await log.leafOf({ chain, seq: 10 })).toBe(9)
  expect(await log.leafOf({ chain, seq: 11 })).toBeUndefined()
})

it('shows strangers nothing, unless the tenant made the log public', async () => {
  const closed = await world()
  const open = await world({ public: true })
  for (const { tenant } of [closed, open]) {
    await collect(manyOf(tenant, 3))
    await publish(tenant)
  }
  expect((await problemIn(await closed.send('GET', '/v1/log/checkpoint', undefined))).status).toBe(401)
  expect((await problemIn(await closed.send('GET', '/v1/log/tile/0/000.p/4', undefined))).status).toBe(401)
  expect((await problemIn(await open.send('GET', '/v1/log', undefined))).status).toBe(401)
  const agent = await closed.agentToken()
  expect((await problemIn(await closed.send('GET', '/v1/log/checkpoint', undefined, { token: agent }))).status).toBe(
    403,
  )
  const strange = await monitor(path => open.send('GET', path, undefined))
  expect(strange.checkpoint.size).toBe(4)
})

it('keeps what listed witnesses sign, and nobody else’s', async () => {
  const witness = await createWitness()
  const { tenant, get, send, auditor } = await world({ witnesses: [witness.key] })
  await collect(manyOf(tenant, 3))
  await publish(tenant)
  const { note, checkpoint } = await monitor(get)
  const post = (size: number, lines: string) =>
    send('POST', `/v1/log/cosignatures?size=${size}`, lines, {
      token: auditor,
      headers: { 'content-type': 'text/plain' },
    })
  const good = await witness.lineFor(note)
  expect(
    (await problemIn(await post(checkpoint.size, await witness.lineFor(note, 1, 'witness.example/w2')))).reason,
  ).toBe('not_cosigned')
  expect((await problemIn(await post(checkpoint.size + 1, good))).status).toBe(404)
  expect(await (await post(checkpoint.size, good)).json()).toEqual({ witnesses: [witness.name] })
  const cosigned = await monitor(get)
  expect(cosigned.note).toBe(note + good)
})
