import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { importJWK, type JWK, SignJWT } from 'jose'
import * as v from 'valibot'
import { MAX_ATTESTATION_CHARS } from '../facts/attestation.ts'
import { Statement } from '../facts/statement.ts'
import { parseDuration } from '../policy/rate.ts'
import { command } from './command.ts'
import { DEVELOPMENT_ISSUER, issuerKey } from './development.ts'
import { CommandError, exit } from './exit.ts'
import { originNamed, originOption, tenantNamed, tenantOption } from './target.ts'
import { parseUid } from './uid.ts'

const MAX_TTL_MS = 86_400_000

/** As a source pushes them: a list, or an object with one. An observation without its time is one from now. */
const Given = v.pipe(
  v.union([v.array(v.looseObject({})), v.object({ facts: v.array(v.looseObject({})) })]),
  v.transform(given => (Array.isArray(given) ? given : given.facts)),
  v.minLength(1, 'no facts'),
  v.maxLength(64, 'at most 64 facts'),
)

/** Signs what a source says, for an agent to carry: facts of which nobody needs to look anything up. */
export const attest = command({
  summary: 'Print an attestation: facts that a source signs and an agent carries',
  args: ['FILE'],
  options: {
    source: { type: 'string', value: 'ID', help: 'the source of record that speaks' },
    agent: { type: 'string', value: 'UID', help: 'the one agent that may present it (default: any)' },
    ttl: { type: 'string', value: 'TIME', help: 'how long it holds: 90s, 5m, 8h (default 5m)' },
    ...tenantOption,
    ...originOption,
    key: { type: 'string', value: 'FILE', help: "the source's own private key, a JWK with kid and alg; needs --iss" },
    iss: { type: 'string', value: 'ISSUER', help: 'whose key that is, as tenant.json has it' },
    sub: { type: 'string', value: 'NAME', help: 'the subject, where the issuer tells sources by it' },
  },
  examples: [
    'attest facts.json --source order-system',
    `attest - --source payments --agent 'Agent::"support-bot"' --ttl 90s < facts.json`,
    'attest facts.json --key payments.jwk.json --iss https://payments.example --origin https://pdp.example.com',
  ],
  run: async ([file = ''], { source, agent, ttl = '5m', key: keyFile, iss, sub, ...at }) => {
    if (keyFile === undefined && source === undefined) throw new CommandError('say who speaks: --source ID')
    if ((keyFile === undefined) !== (iss === undefined)) throw new CommandError('--key and --iss go together')
    const ttlMs = parseDuration(ttl)
    if (ttlMs === undefined || ttlMs > MAX_TTL_MS)
      throw new CommandError(`--ttl ${ttl} is not a time of at most 24h, such as 5m`)
    const facts = factsIn(file)
    const signer = keyFile === undefined ? { ...(await issuerKey()), alg: 'EdDSA' } : ownKey(keyFile)
    const now = Math.floor(Date.now() / 1000)
    const jwt = new SignJWT({
      facts,
      ...(source !== undefined && { source }),
      ...(agent !== undefined && { agent: parseUid(agent) }),
    })
      .setProtectedHeader({ alg: signer.alg, typ: 'facts+jwt', kid: signer.kid })
      .setIssuer(iss ?? DEVELOPMENT_ISSUER)
      .setSubject(sub ?? source ?? 'source')
      .setAudience(`${originNamed(at.origin ?? 'http://127.0.0.1:8787', 'origin')}/${tenantNamed(at.tenant)}`)
      .setIssuedAt(now)
      .setExpirationTime(now + Math.ceil(ttlMs / 1000))
      .setJti(randomUUID())
    const text = await jwt.sign(await importJWK(signer.key, signer.alg))
    if (text.length > MAX_ATTESTATION_CHARS)
      throw new CommandError(`${text.length} characters, and an attestation has at most ${MAX_ATTESTATION_CHARS}`)
    console.log(text)
    return exit.ok
  },
})

const factsIn = (file: string): Statement[] => {
  const named = file === '-' ? 'standard input' : file
  const given = v.safeParse(Given, jsonIn(file === '-' ? 0 : file, named))
  if (!given.success) throw new CommandError(`${named}: ${given.issues[0].message}`, exit.refused)
  return given.output.map((fact, index) => {
    const stated = v.safeParse(Statement, { observed_at: new Date().toISOString(), ...fact })
    if (stated.success) return stated.output
    const [issue] = stated.issues
    const path = (issue.path ?? []).map(({ key }) => `/${String(key)}`).join('')
    throw new CommandError(`${named}: /${index}${path}: ${issue.message}`, exit.refused)
  })
}

const PrivateKey = v.looseObject({ kty: v.string(), kid: v.string(), alg: v.string(), d: v.string() })

const ownKey = (file: string): { key: JWK; kid: string; alg: string } => {
  const read = v.safeParse(PrivateKey, jsonIn(file, file))
  // what is wrong is never quoted: it may be a key
  if (!read.success) throw new CommandError(`${file} is not a private JWK with kid and alg`, exit.refused)
  return { key: read.output, kid: read.output.kid, alg: read.output.alg }
}

const jsonIn = (from: string | 0, named: string): unknown => {
  let text: string
  try {
    text = readFileSync(from, 'utf8')
  } catch {
    throw new CommandError(`${named} can't be read`, exit.refused)
  }
  try {
    return JSON.parse(text)
  } catch {
    throw new CommandError(`${named} is not JSON`, exit.refused)
  }
}
