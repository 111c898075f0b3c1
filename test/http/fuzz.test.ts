import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { answerIn, answersIn, asking, createWorld, problemIn, refund, type World } from './world.ts'

let world: World
let tokens: string[]
beforeAll(async () => {
  world = await createWorld({ settings: { limits: { attempts: '1000000/m' } } })
  tokens = await Promise.all([
    world.agentToken(),
    world.agentToken('clerk', { user: { type: 'User', id: 'lea' } }),
    world.agentToken('ghost'),
    world.pepToken(),
    world.token({ roles: ['auditor', 'admin'] }),
    'x.y.z',
  ])
})

const junk = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    1e308,
    '',
    'x',
    'Agent',
    'Order',
    'refund',
    [],
    {},
    [[]],
    [{}],
  ),
  fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }),
  fc.string({ unit: 'binary', maxLength: 600, size: 'max' }),
)

/** An ask or a batch in which some members, at any depth, are left out or replaced. */
const spoiled = (json: unknown): fc.Arbitrary<unknown> => {
  if (typeof json !== 'object' || json === null) return fc.oneof({ weight: 9, arbitrary: fc.constant(json) }, junk)
  if (Array.isArray(json))
    return fc.oneof({ weight: 9, arbitrary: fc.tuple(...json.map(spoiled)) }, junk, fc.array(junk, { maxLength: 4 }))
  const members = Object.entries(json).map(([name, value]) => [name, spoiled(value)] as const)
  const whole = fc.record(Object.fromEntries(members))
  const partial = fc.record(Object.fromEntries(members), { requiredKeys: [] })
  const more = fc.dictionary(
    fc.oneof(
      fc.constantFrom('constructor', 'toString', 'properties', 'id', 'extra'),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    junk,
    { maxKeys: 2, noNullPrototype: true },
  )
  return fc.oneof(
    { weight: 14, arbitrary: whole },
    { weight: 2, arbitrary: partial },
    { weight: 2, arbitrary: fc.tuple(whole, more).map(([a, b]) => ({ ...a, ...b })) },
    junk,
  )
}

const subject = { type: 'Agent', id: 'clerk', properties: { tier: 'gold' } }
const resource = { type: 'Order', id: '7', properties: { status: 'open' } }
const full = {
  subject,
  action: {
    name: 'refund',
    properties: {
      amount: 5,
      rate: 1.25,
      since: '2026-01-01',
      ticket: { type: 'Order', id: '1' },
      tags: ['a'],
      'odd/na~me': { deep: true },
    },
  },
  resource,
  context: { channel: 'private', ip: '127.0.0.1' },
}
const annotate = { ...asking('annotate'), action: { name: 'annotate', properties: { text: 't', more: { deep: [1] } } } }
const batch = {
  ...asking('read'),
  options: { evaluations_semantic: 'execute_all' },
  evaluations: [{}, refund(5), { subject }, { resource }, full],
}
const shortCircuit = { ...batch, options: { evaluations_semantic: 'deny_on_first_deny' } }

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.string({ unit: 'binary', maxLength: 100 }),
  fc
    .array(
      fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '1', 'e', '-', 'null', '\u0000', '\\u0061', ' '),
      { maxLength: 40 },
    )
    .map(parts => parts.join('')),
)
const body: fc.Arbitrary<BodyInit> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .oneof(...[full, annotate, batch, shortCircuit, asking('read')].map(spoiled))
      .map(json => JSON.stringify(json)),
  },
  { weight: 1, arbitrary: junk.map(json => JSON.stringify(json)) },
  { weight: 1, arbitrary: bytes },
)

const word = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.~!/;=,:"{} '), maxLength: 40 })
const rare = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 })
const headers = fc.record({
  'content-type': fc.oneof(
    { weight: 12, arbitrary: fc.constant('application/json') },
    fc.constantFrom('text/plain', 'application/json;charset=x', ''),
    word,
  ),
  'idempotency-key': rare(fc.oneof(fc.constantFrom('k1', 'k2'), word)),
  'x-request-id': rare(fc.oneof(word, fc.string({ minLength: 250, maxLength: 300 }))),
  'cf-connecting-ip': rare(fc.constantFrom('127.0.0.1', '::1', 'x', '')),
  accept: rare(word),
})

it('whatever is sent, the answer is a decision or a problem with a known reason, and never 5xx', async () => {
  const kinds = new Map<string, number>()
  const request = fc.record({
    path: fc.constantFrom('/access/v1/evaluation', '/access/v1/evaluations'),
    who: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(0, 1, 3) }, fc.nat({ max: 6 })),
    headers,
    body,
  })
  await fc.assert(
    fc.asyncProperty(request, async ({ path, who, headers: given, body: content }) => {
      const sent = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
      const token = tokens[who]
      const response = await world.send('POST', path, content, { token, headers: Object.fromEntries(sent) })
      expect(response.status).toBeLessThan(500)
      const id = given['x-request-id']
      // Space at the ends is no part of a header's value.
      expect(response.headers.get('x-request-id')).toBe(id === undefined ? null : id.trim())
      const copy = response.clone()
      if (response.status !== 200) count(kinds, (await problemIn(response)).reason)
      else if ('evaluations' in (await copy.json<object>()))
        for (const item of await answersIn(response)) count(kinds, item.context.reason)
      else count(kinds, (await answerIn(response)).context.reason)
    }),
    { numRuns: 250 },
  )
  // The net is not just a sieve: it reached decisions of many kinds.
  expect([...kinds.keys()]).toEqual(
    expect.arrayContaining(['permitted', 'schema_mismatch', 'malformed_request', 'malformed_json', 'invalid_token']),
  )
  expect([...kinds.keys()]).not.toContain('control_unreachable')
})

const count = (kinds: Map<string, number>, reason: string): void => void kinds.set(reason, (kinds.get(reason) ?? 0) + 1)

it('any path and method are answered, and never 5xx', async () => {
  const part = fc.constantFrom(
    'access',
    'v1',
    'evaluation',
    'evaluations',
    'agents',
    'Agent',
    'clerk',
    'suspend',
    'receipts',
    'decisions',
    '.well-known',
    'jwks.json',
    'authzen-configuration',
    'openapi.json',
    'healthz',
    '%',
    '%ff',
    '%2f',
    '..',
    '',
    '?cursor=x',
    '?limit=0',
    '?agent=%00',
  )
  const request = fc.record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'),
    tenant: fc.boolean(),
    parts: fc.array(part, { maxLength: 6 }),
    who: fc.nat({ max: 6 }),
  })
  await fc.assert(
    fc.asyncProperty(request, async ({ method, tenant, parts, who }) => {
      const path = `https://pdp.example.com${tenant ? `/${world.tenant}` : ''}/${parts.join('/')}`
      const content = ['GET', 'HEAD'].includes(method) ? undefined : '{"reason":"r"}'
      const response = await world.send(method, path, content, { token: tokens[who] })
      expect(response.status).toBeLessThan(500)
      if (response.status >= 400 && method !== 'HEAD') await problemIn(response)
      else await response.arrayBuffer()
    }),
    { numRuns: 150 },
  )
})
