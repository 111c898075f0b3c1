import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { compile } from '../../src/cli/compile.ts'
import { issuerKeyPath, withDevelopmentIssuer } from '../../src/cli/development.ts'
import { exit } from '../../src/cli/exit.ts'
import { pointerOf, storedBundle } from '../../src/cli/publish.ts'
import { createWrangler } from '../../src/cli/wrangler.ts'
import { sha256 } from '../../src/durable/hash.ts'
import { writeBundle } from '../../src/policy/bundle.ts'
import { loadBundle } from '../../src/policy/load.ts'
import { makeFolder } from './folder.ts'

/** The commands as a person runs them, on a local state of their own. Each wrangler takes a second or two. */

const state = mkdtempSync(join(tmpdir(), 'countersign-state-'))
const wrangler = createWrangler({ where: 'local', persistTo: state })

const run = (file: string, args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise(resolve => {
    execFile(process.execPath, [file, ...args], { env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    )
  })
const countersign = (...args: string[]) => run('src/cli/main.ts', args)
const here = ['--local', '--persist-to', state]

beforeAll(async () => {
  const bin = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js')
  await run(bin, ['d1', 'migrations', 'apply', 'DB', ...here])
})
afterAll(() => rmSync(state, { recursive: true, force: true }))

it('pushes a folder, says what changed, and pushes nothing twice', async () => {
  const dir = 'test/fixtures/certification'
  const first = await countersign('push', dir, ...here, '--by', "o'neil", '--note', "it's the first")
  expect(first.out).toContain('adds the development issuer')
  expect(first.out).toContain('pushed: activation 1 of cert, 4 policies, 3 actions, 5 entities, 1 issuer')
  expect(first.code).toBe(exit.ok)

  const { hash = '' } = (await pointerOf(wrangler, 'cert')) ?? {}
  const bundle = await storedBundle(wrangler, 'cert', hash)
  if (bundle === undefined) throw new Error('no bundle was stored')
  const taken = (local: boolean) => loadBundle(bundle, { tenant: 'cert', seq: 1, hash, local }).ok
  expect([taken(true), taken(false)], 'only a local Worker takes it').toEqual([true, false])

  const again = await countersign('push', dir, ...here)
  expect(again.out).toContain(`unchanged: activation 1 of cert is this bundle already, ${hash}`)

  const { dir: changed, remove } = makeFolder({ 'rules.cedar': '@id("other") permit (principal, action, resource);' })
  const second = await countersign('push', changed, ...here, '--tenant', 'cert', '--json')
  remove()
  expect(JSON.parse(second.out)).toMatchObject({
    ok: true,
    tenant: 'cert',
    seq: 2,
    pushed: true,
    changes: {
      added: ['other'],
      removed: ['admin-write-archived', 'alice-delete-soft', 'alice-write-active', 'staff-read'],
      changed: [],
      parts: ['schema', 'entities'],
    },
  })

  const { out } = await countersign('history', ...here, '--tenant', 'cert', '--json')
  expect(JSON.parse(out)).toMatchObject({
    active: { seq: 2 },
    activations: [{ seq: 2 }, { seq: 1, hash, pushed_by: "o'neil", note: "it's the first" }],
  })
})

it('pushes and rolls back where the keys hash to what looks like an option', async () => {
  const { dir, remove } = makeFolder()
  const { bundle } = await compile(dir, { local: true })
  if (bundle === undefined) throw new Error('the folder is wrong')
  const pushed = await withDevelopmentIssuer(bundle)
  const isDashed = (...parts: string[]) => sha256(JSON.stringify(parts)).startsWith('-')
  const hashFor = (tenant: string) => writeBundle({ ...pushed, settings: { ...pushed.settings, tenant } }).hash
  const tenant = Array.from({ length: 100_000 }, (_, number) => `dashed-${number}`).find(
    name => isDashed('pointer', name) && isDashed('bundle', name, hashFor(name)),
  )
  if (tenant === undefined) throw new Error('no tenant has such keys')
  const of = [...here, '--tenant', tenant]

  const first = await countersign('push', dir, ...of)
  expect(first.err).toBe('')
  expect(first.out).toContain(`pushed: activation 1 of ${tenant}`)
  const hash = hashFor(tenant)
  expect(await pointerOf(wrangler, tenant)).toMatchObject({ seq: 1, hash })
  expect(await storedBundle(wrangler, tenant, hash)).toBeDefined()
  remove()

  const { dir: changed, ...other } = makeFolder({ 'rules.cedar': '@id("b") permit (principal, action, resource);' })
  expect((await countersign('push', changed, ...of)).out).toContain(`pushed: activation 2 of ${tenant}`)
  other.remove()
  expect((await countersign('rollback', '1', ...of)).out).toContain(`rolled back: activation 3 of ${tenant}`)
  expect(await pointerOf(wrangler, tenant)).toMatchObject({ seq: 3, hash })
})

it('pushes nothing that has errors', async () => {
  const { dir, remove } = makeFolder({ 'rules.cedar': '@id("a") @limt("5/h") permit (principal, action, resource);' })
  const { code, out } = await countersign('push', dir, ...here, '--tenant', 'broken')
  remove()
  expect(code).toBe(exit.refused)
  expect(out).toContain('rules.cedar:1:10')
  expect(out).toContain('did you mean @limit?')
  expect(out).toContain('nothing was pushed')
})

it('prints tokens of the development issuer, whose key only its owner reads', async () => {
  const minted = await countersign(
    'token',
    '--agent',
    'Agent::"support-bot"',
    '--user',
    'User::ada',
    '--session',
    '007',
  )
  expect(decodeJwt(minted.out.trim())).toMatchObject({
    iss: 'urn:countersign:development',
    sub: 'Agent::"support-bot"',
    aud: 'http://127.0.0.1:8787/acme',
    roles: ['agent'],
    agent: { type: 'Agent', id: 'support-bot' },
    user: { type: 'User', id: 'ada' },
    sid: '007',
  })
  expect(statSync(issuerKeyPath).mode & 0o777).toBe(0o600)
})

it.each([
  [['push', 'policies'], 'say where: --local or --remote'],
  [['push', 'policies', '--local', '--remote'], 'say where: --local or --remote'],
  [['push', '--local'], 'DIR is missing'],
  [['push', 'a', 'b', '--local'], 'what is b?'],
  [['check', 'policies', '--stict'], "Unknown option '--stict'"],
  [['token'], 'the role agent needs --agent UID'],
  [['token', '--role', 'peb'], 'did you mean pep?'],
  [['token', '--agent', 'support-bot'], 'support-bot is not an entity'],
  [['token', '--role', 'pep', '--ttl', '2d'], 'not a time of at most 24h'],
  [['rollback', 'one', '--local'], 'one is not a seq'],
  [['pull'], 'there is no command pull'],
])('%o is told what is wrong', async (args, message) => {
  const { code, err } = await countersign(...args)
  expect(err).toContain(message)
  expect(code).toBe(exit.usage)
})
