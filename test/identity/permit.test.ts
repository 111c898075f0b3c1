import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, type JWK, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { publicJwks, signer } from '../../src/identity/keys.ts'
import { type Permit, signPermit } from '../../src/identity/permit.ts'
import { authenticate } from '../../src/identity/verify.ts'
import { issuerOf, NOW, seconds, TENANT, verification } from './tokens.ts'

const secretKey = async (alg: 'EdDSA' | 'ES256'): Promise<JWK> =>
  exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)

const secret = (...keys: unknown[]) => ({ SIGNING_KEYS: JSON.stringify({ keys }) })

const ed = await secretKey('EdDSA')
const es = await secretKey('ES256')

const permit: Permit = {
  tenant: TENANT,
  evaluationId: '01990000-0000-7000-8000-000000000000',
  principals: {
    actor: { type: 'Agent', id: 'a"\\\n' },
    chain: [{ type: 'Agent', id: 'planner' }],
    user: { type: 'User', id: 'alice' },
  },
  action: 'refund',
  resource: { type: 'Order', id: 'o-1' },
  argumentsHash: 'arguments',
  actionHash: 'action',
  bundle: 'bundle',
  issuedAt: NOW + 999,
  expiresAt: NOW + 60_999,
}

describe('signing keys', () => {
  it('are published without their private halves, named by thumbprint', async () => {
    const { keys } = await publicJwks(secret(ed, { ...es, kid: 'mine', published_only: true, key_ops: ['sign'] }))
    expect(keys).toEqual([
      { kty: 'OKP', crv: 'Ed25519', x: ed.x, kid: await calculateJwkThumbprint(ed), alg: 'EdDSA', use: 'sig' },
      { kty: 'EC', crv: 'P-256', x: es.x, y: es.y, kid: await calculateJwkThumbprint(es), alg: 'ES256', use: 'sig' },
    ])
    expect(JSON.stringify(keys)).not.toContain('"d"')
  })

  it('sign with the first that may: not the next one, not a retired one', async () => {
    const { d: _, ...retired } = es
    expect((await signer(secret(ed, es))).alg).toBe('EdDSA')
    expect((await signer(secret(es, ed))).alg).toBe('ES256')
    expect((await signer(secret({ ...es, published_only: true }, ed))).alg).toBe('EdDSA')
    expect((await signer(secret(retired, ed))).alg).toBe('EdDSA')
    expect((await publicJwks(secret(retired, ed))).keys).toHaveLength(2)
    expect((await signer(secret(ed))).key.extractable).toBe(false)
  })

  it('are loaded once for each text of the secret', async () => {
    const env = secret(ed)
    expect(await signer(env)).toBe(await signer({ ...env }))
    expect(await signer(env)).not.toBe(await signer(secret(es)))
  })

  it('that are unsound stop everything, and the error tells nothing of them', async () => {
    const other = await secretKey('EdDSA')
    const rsa = await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey)
    const { d: _, ...withoutD } = ed
    for (const env of [
      { SIGNING_KEYS: '' },
      { SIGNING_KEYS: `{"keys":[${JSON.stringify(ed)}` },
      secret(),
      secret(withoutD),
      secret({ ...ed, published_only: true }),
      secret(ed, ed),
      secret({ ...ed, x: other.x }),
      secret({ ...es, d: ed.d }),
      secret({ ...es, d: (await secretKey('ES256')).d }),
      secret({ ...ed, d: 'AAAA' }),
      secret(rsa),
      secret({ kty: 'oct', k: 'AAAA' }),
    ]) {
      const error = await signer(env).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(Error)
      expect(String(error)).toMatch(/^Error: SIGNING_KEYS /)
      expect(String(error)).not.toContain(String(ed.d))
    }
  })
})

describe('permits', () => {
  it('state what was decided, verifiable by the published keys', async () => {
    for (const env of [secret(ed, es), secret(es, ed)]) {
      const token = await signPermit(await signer(env), permit)
      const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(await publicJwks(env)), {
        typ: 'permit+jwt',
        issuer: TENANT,
        currentDate: new Date(NOW),
      })
      expect(protectedHeader).toEqual({ alg: (await signer(env)).alg, typ: 'permit+jwt', kid: (await signer(env)).kid })
      expect(payload).toEqual({
        iss: TENANT,
        sub: 'Agent::"a\\"\\\\\\u{a}"',
        jti: permit.evaluationId,
        iat: seconds,
        exp: seconds + 60,
        agent: { type: 'Agent', id: 'a"\\\n' },
        chain: [{ type: 'Agent', id: 'planner' }],
        user: { type: 'User', id: 'alice' },
        action: 'refund',
        resource: { type: 'Order', id: 'o-1' },
        arguments_hash: 'arguments',
        action_hash: 'action',
        bundle: 'bundle',
      })
    }
  })

  it('are the same for the same decision', async () => {
    const key = await signer(secret(ed))
    expect(await signPermit(key, structuredClone(permit))).toBe(await signPermit(key, permit))
    const es256 = await signer(secret(es))
    const covered = async () => (await signPermit(es256, permit)).split('.').slice(0, 2).join('.')
    expect(await covered()).toBe(await covered())
  })

  it('are no tokens: an issuer that lists our own key under our own name does not let them in', async () => {
    const env = secret(es)
    const { keys } = await publicJwks(env)
    const self = issuerOf([], { iss: TENANT, algorithms: ['ES256'], jwks: { keys } })
    const token = await signPermit(await signer(env), permit)
    expect(await authenticate(`Bearer ${token}`, [self], verification())).toEqual({
      ok: false,
      reason: 'invalid_token',
      detail: 'type',
    })
  })
})
