import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it } from 'vitest'
import type { ChainLinks } from '../../../src/audit/log/append.ts'
import { readTile } from '../../../src/audit/log/bucket.ts'
import { readBundle, readEntry, writeEntry } from '../../../src/audit/log/entry.ts'
import { logOf } from '../../../src/audit/log/names.ts'
import { readCheckpoint, readNote } from '../../../src/audit/log/note.ts'
import { WIDTH } from '../../../src/audit/log/tiles.ts'
import { leafHash, treeHash } from '../../../src/audit/log/tree.ts'
import { sha256 } from '../../../src/durable/hash.ts'
import { clock } from '../../clock.ts'

afterEach(() => clock.reset())

/** Links that six collectors hand over, a thousand at a time; `TEST_LINKS=600000` is a minute of 10,000 decisions a second. */
const COUNT = Number(env.TEST_LINKS)
const BATCH = 1_000
const CHAINS = 200

it('one object takes what a busy tenant decides, and signs the tree over all of it', async () => {
  const tenant = `load-${crypto.randomUUID().slice(0, 8)}`
  const log = logOf(env.LOG, tenant)
  const heads = Array.from({ length: CHAINS }, (_, index) => ({
    chain: sha256(`${tenant}${index}`),
    seq: 0,
    hash: '-',
  }))
  const leaves: Uint8Array[] = []
  let spent = 0
  for (let sent = 0; sent < COUNT; sent += BATCH) {
    // fifty chains with twenty links each
    const chains = Array.from({ length: 50 }, (_, index): ChainLinks => {
      const head = heads[(sent / BATCH + index * 4) % CHAINS]
      if (!head) throw new Error('no chain')
      const { chain, seq, hash: prev } = head
      const hashes = Array.from({ length: BATCH / 50 }, (_, at) => sha256(`${chain}${seq + at}`))
      for (const [at, hash] of hashes.entries()) leaves.push(leafHash(writeEntry({ chain, seq: seq + 1 + at, hash })))
      Object.assign(head, { seq: seq + hashes.length, hash: hashes.at(-1) })
      return { chain, from: seq + 1, prev, hashes }
    })
    const before = Date.now()
    const replies = await log.append({ v: 1, tenant, chains })
    spent += Date.now() - before
    expect(replies.every(({ kind }) => kind === 'logged')).toBe(true)
  }
  const before = Date.now()
  let published = 0
  while (published < COUNT) {
    clock.advance(3_000)
    await runDurableObjectAlarm(log)
    ;({ published } = await log.status())
  }
  const publishing = Date.now() - before
  console.log(`${COUNT} links: ${spent} ms to take, ${publishing} ms to put into tiles and sign`)
  const { checkpoint } = await log.status()
  const signed = readCheckpoint(readNote(checkpoint ?? '')?.text ?? '')
  // the last leaf is the log's own, of the key that signs
  expect(signed?.size).toBe(COUNT + 1)
  const width = (COUNT + 1) % WIDTH || WIDTH
  const bundle = await readTile(
    { bucket: env.RECORD, tenant },
    { level: 'entries', n: Math.floor(COUNT / WIDTH), width },
  )
  const own = readBundle(bundle ?? new Uint8Array())?.at(-1)
  expect(own && readEntry(own)).toMatchObject({ key: expect.stringContaining('/v1/log+') })
  expect(Buffer.from(treeHash([...leaves, leafHash(own ?? new Uint8Array())]))).toEqual(signed?.root)
})
