import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { cloudEventOf, ocsfOf } from '../../src/audit/formats.ts'
import { writeEntry } from '../../src/audit/log/entry.ts'
import { checkpointText, signatureTypes, verifierOf, vkeyOf, writeNote } from '../../src/audit/log/note.ts'
import { leafHash, treeHash } from '../../src/audit/log/tree.ts'
import { commitment, type Head, nextReceipt, type StoredReceipt } from '../../src/audit/receipt.ts'
import { exportRecord } from '../../src/cli/audit/export.ts'
import { list } from '../../src/cli/audit/list.ts'
import { show } from '../../src/cli/audit/show.ts'
import { tail } from '../../src/cli/audit/tail.ts'
import { verifyExport } from '../../src/cli/audit/verify.ts'

const dir = mkdtempSync(join(tmpdir(), 'countersign-audit-'))
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
const log = verifierOf('log.example/acme', signatureTypes.ed25519, raw)

/** A log with one chain, made here alone. */
const made = (count: number) => {
  let head: Head | undefined
  const receipts = Array.from({ length: count }, (_, index): StoredReceipt => {
    const resource = { salt: `s${index}`, value: { type: 'Order', id: String(index) } }
    const decision = {
      evaluation_id: `e${index}`,
      outcome: 'deny',
      reason: 'forbidden',
      policies: [],
      bundle: { seq: 1, hash: 'b' },
    }
    const body = { agent: { type: 'Agent', id: 'bot' }, action: 'refund', resource: commitment(resource), decision }
    const next = nextReceipt('chain', head, {
      kind: 'decision',
      at: 1_800_000_000_000 + index,
      body,
      secrets: { resource },
    })
    head = next
    return next
  })
  const entries = receipts.map(({ seq, hash }) => writeEntry({ chain: 'chain', seq, hash }))
  const leaves = entries.map(leafHash)
  const text = checkpointText({ origin: log.name, size: count, root: treeHash(leaves) })
  const note = writeNote(text, [{ name: log.name, id: log.id, signature: sign(null, Buffer.from(text), privateKey) }])
  const header = { type: 'export', v: 1, tenant: 'acme', from: 0, to: count, checkpoint: note, keys: [vkeyOf(log)] }
  const bundle = {
    type: 'bundle',
    n: 0,
    leaves: Buffer.concat(leaves).toString('base64'),
    proof: [],
    entries: entries.map(entry => Buffer.from(entry).toString()),
  }
  const lines = receipts.map(({ body, secrets, ...link }, leaf) => ({
    type: 'receipt',
    leaf,
    chain: 'chain',
    ...link,
    body: JSON.parse(body),
    secrets: JSON.parse(secrets),
    columns: null,
  }))
  return { header, bundle, lines }
}

const fileOf = (name: string, { header, bundle, lines }: ReturnType<typeof made>): string => {
  const text = `${[header, bundle, ...lines].map(line => JSON.stringify(line)).join('\n')}\n`
  const path = join(dir, name)
  writeFileSync(path, name.endsWith('.gz') ? gzipSync(text) : text)
  return path
}

const run = async (argv: string[], command = verifyExport): Promise<{ code: number; said: string }> => {
  const spy = vi.spyOn(console, 'log').mockImplementation(() => {})
  try {
    const code = await command.run(argv)
    return { code, said: spy.mock.calls.flat().join('\n') }
  } finally {
    spy.mockRestore()
  }
}
const seen = (name: string) => ['--seen', join(dir, `${name}.json`)]

it('a sound export is called so, packed or not, and says by which key', async () => {
  for (const name of ['a.ndjson', 'a.ndjson.gz']) {
    const { code, said } = await run([fileOf(name, made(5)), '--key', vkeyOf(log), ...seen(name)])
    expect(said).toContain('5 receipts')
    expect(said).toContain(`${vkeyOf(log)} (given)`)
    expect(code).toBe(0)
  }
})

it('the bad record is named, and the exit code says that there is one', async () => {
  const bad = made(5)
  Object.assign(bad.lines[3]?.body ?? {}, { action: 'view' })
  const { code, said } = await run([fileOf('bad.ndjson', bad), ...seen('bad')])
  expect(said).toContain('receipt 4 of chain chain, leaf 3: the body was changed')
  expect(code).toBe(1)
  const gone = made(5)
  gone.lines.splice(1, 1)
  const { said: missing } = await run([fileOf('gone.ndjson', gone), '--json', ...seen('bad')])
  expect(JSON.parse(missing)).toMatchObject({
    ok: false,
    findings: [{ problem: 'the receipt is missing', seq: 2, leaf: 1 }],
  })
})

it('a log that is shorter than the one seen before is found out, and another key is not taken', async () => {
  expect((await run([fileOf('long.ndjson', made(9)), ...seen('one')])).code).toBe(0)
  const { code, said } = await run([fileOf('short.ndjson', made(4)), ...seen('one')])
  expect([code, said]).toEqual([
    1,
    expect.stringContaining('the log has shrunk: a checkpoint of 9 leaves was seen before'),
  ])
  expect((await run([fileOf('longer.ndjson', made(12)), ...seen('one')])).said).toContain(
    'continues the checkpoint of 9 leaves',
  )
  const stranger = vkeyOf(verifierOf(log.name, signatureTypes.ed25519, Buffer.alloc(32, 7)))
  expect((await run([fileOf('long.ndjson', made(9)), '--key', stranger, ...seen('two')])).code).toBe(1)
})

const { header, bundle, lines } = made(3)
const server = createServer((request, response) => {
  const path = new URL(request.url ?? '', 'http://localhost').pathname
  if (path.startsWith('/nope/'))
    response
      .writeHead(404)
      .end(JSON.stringify({ status: 404, reason: 'no_policy', title: 'The tenant has no bundle.' }))
  else if (path.endsWith('/v1/log')) response.end(JSON.stringify({ checkpoint: header.checkpoint, keys: header.keys }))
  else if (path.endsWith('/v1/log/bundles/0'))
    response.end([bundle, ...lines].map(line => `${JSON.stringify(line)}\n`).join(''))
  else if (path.endsWith('/v1/receipts')) {
    const { seq, at } = { seq: 1, at: FROM }
    const shown = { ...lines[0], agent: 'Agent::"bot"', seq, at }
    const since = Date.parse(new URL(request.url ?? '', 'http://localhost').searchParams.get('since') ?? '')
    const receipts = [
      { ...shown, hash: 'then' },
      { ...shown, hash: 'before', at: at - 30_000 },
    ]
    response.end(JSON.stringify({ receipts: receipts.filter(({ at: made }) => made >= since) }))
    process.emit('SIGINT')
  } else response.writeHead(404).end('{}')
})
const FROM = Date.UTC(2026, 10, 25, 9)
let url = ''
beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
})
afterAll(() => {
  server.close()
  rmSync(dir, { recursive: true })
})

it('what export writes, verify takes', async () => {
  const path = join(dir, 'exported.ndjson.gz')
  const options = ['--url', url, '--token', 'any', ...seen('exported')]
  expect((await run([path, ...options], exportRecord)).code).toBe(0)
  expect((await run([path, '--key', vkeyOf(log), ...seen('exported')])).code).toBe(0)
  await expect(run([path, ...options, '--format', 'xml'], exportRecord)).rejects.toThrow('there is no format xml')
})

it('events have what their schemas ask for', () => {
  const [line] = lines
  if (!line) throw new Error('no line')
  const told = { ...line, chain: 'chain' }
  expect(cloudEventOf(told, 'https://c.example/acme')).toMatchObject({
    specversion: '1.0',
    id: line.hash,
    source: 'https://c.example/acme',
    type: 'countersign.receipt.decision',
    time: '2027-01-15T08:00:00.000Z',
  })
  expect(ocsfOf(told, 'https://c.example/acme')).toMatchObject({
    class_uid: 6003,
    category_uid: 6,
    activity_id: 99,
    type_uid: 600_399,
    severity_id: 2,
    action_id: 2,
    disposition_id: 2,
    time: 1_800_000_000_000,
    actor: { app_name: 'Agent::"bot"' },
    api: { operation: 'refund', request: { uid: 'e0' } },
    src_endpoint: { name: 'Agent::"bot"' },
    resources: [{ name: 'Order::"0"', type: 'Order' }],
    metadata: { version: '1.5.0', product: { name: 'Countersign' }, uid: line.hash },
  })
})

it('what is to be read or written, and can’t be, is said, and is no end of the record', async () => {
  const packed = join(dir, 'not-packed.ndjson.gz')
  writeFileSync(packed, 'this is not packed')
  await expect(run([packed, ...seen('none')])).rejects.toThrow(`${packed} can't be read: incorrect header check`)
  await expect(run([dir, ...seen('none')])).rejects.toThrow(`${dir} is a folder`)
  await expect(run([join(dir, 'nowhere'), ...seen('none')])).rejects.toThrow('there is no file')
  const nowhere = join(dir, 'nowhere', 'record.ndjson')
  const given = ['--url', url, '--token', 't', ...seen('none')]
  await expect(run([nowhere, ...given], exportRecord)).rejects.toThrow(`${nowhere} can't be written: ENOENT`)
})

it('a tenant that there is not is said to be none, whatever is asked of it', async () => {
  const of = ['--tenant', 'nope', '--url', url, '--token', 't']
  for (const [command, ...args] of [[list], [show, 'e1'], [exportRecord, '-']] as const)
    await expect(run([...args, ...of], command)).rejects.toThrow('no_policy: The tenant has no bundle.')
})

it('tail shows what came since the time that is named, and takes no other', async () => {
  const since = (text: string) => run(['--since', text, '--json', '--url', url, '--token', 't'], tail)
  const { said } = await since('2026-11-25T09:00:00Z')
  expect(JSON.parse(said)).toMatchObject({ hash: 'then' })
  await expect(since('yesterday')).rejects.toThrow('--since yesterday is not a time such as')
})
