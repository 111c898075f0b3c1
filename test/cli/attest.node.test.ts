import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose'
import { afterAll, expect, it, vi } from 'vitest'
import { attest } from '../../src/cli/attest.ts'

const dir = mkdtempSync(join(tmpdir(), 'countersign-attest-'))
afterAll(() => rmSync(dir, { recursive: true }))

const file = (name: string, content: unknown): string => {
  const path = join(dir, name)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const run = async (...argv: string[]): Promise<string> => {
  const spy = vi.spyOn(console, 'log').mockImplementation(() => {})
  try {
    expect(await attest.run(argv)).toBe(0)
    return spy.mock.calls.flat().join('\n')
  } finally {
    spy.mockRestore()
  }
}

const total = { entity: { type: 'Order', id: 'o-1' }, predicate: 'total', value: 90 }

it('signs with the source’s own key what the file says, for one tenant and one agent', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const key = file('key.json', { ...(await exportJWK(privateKey)), kid: 'k1', alg: 'ES256' })
  const given = {
    facts: [
      { ...total, observed_at: '2026-11-25T03:00:00Z' },
      { ...total, id: 'v2' },
    ],
  }
  const text = await run(
    ...[file('facts.json', given), '--key', key, '--iss', 'https://orders.example', '--sub', 'orders'],
    ...['--origin', 'https://pdp.example', '--tenant', 'acme', '--agent', 'Agent::"bot"', '--ttl', '90s'],
  )
  expect(decodeProtectedHeader(text)).toEqual({ alg: 'ES256', typ: 'facts+jwt', kid: 'k1' })
  const { payload } = await jwtVerify(text, await importJWK(await exportJWK(publicKey), 'ES256'), {
    issuer: 'https://orders.example',
    audience: 'https://pdp.example/acme',
    subject: 'orders',
  })
  expect(payload).toMatchObject({ agent: { type: 'Agent', id: 'bot' }, jti: expect.any(String) })
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(90)
  expect(payload.facts).toEqual([
    { ...total, observed_at: '2026-11-25T03:00:00Z' },
    { ...total, id: 'v2', observed_at: expect.stringMatching(/^20/) },
  ])
})

it('on this machine the development issuer vouches for a source', async () => {
  const payload = decodeJwt(await run(file('one.json', [total]), '--source', 'order-system'))
  expect(payload).toMatchObject({ source: 'order-system', aud: 'http://127.0.0.1:8787/acme' })
})

it.each<[string, string[], RegExp]>([
  ['no source', [file('a.json', [total])], /--source/],
  ['a key without its issuer', [file('b.json', [total]), '--key', 'x'], /--key and --iss/],
  ['no such file', [join(dir, 'none.json'), '--source', 's'], /can't be read/],
  ['no JSON', [file('c.json', '{'), '--source', 's'], /not JSON/],
  ['no facts', [file('d.json', []), '--source', 's'], /no facts/],
  ['a fact without its entity', [file('e.json', [{ predicate: 'total' }]), '--source', 's'], /\/0\/entity/],
  ['too long a life', [file('f.json', [total]), '--source', 's', '--ttl', '25h'], /at most 24h/],
  [
    'more than an attestation holds',
    [file('g.json', [{ ...total, value: 'x'.repeat(20_000) }]), '--source', 's'],
    /at most 16384/,
  ],
  [
    'a key that is none',
    [file('h.json', [total]), '--key', file('k.json', { d: 'secret' }), '--iss', 'i'],
    /not a private JWK/,
  ],
])('%s is said, and nothing is signed', async (_, argv, message) => {
  await expect(attest.run(argv)).rejects.toThrow(message)
})
