import { describe, expect, it } from 'vitest'
import { compileFiles, type Files, linesOf } from './folder.ts'

const FORM = '{ value: Long, source: String, observedAt: datetime, validUntil: datetime }'

const files = (context: string, facts: object, sources?: object): Files => ({
  'schema.cedarschema': `entity Agent;
entity User;
entity Doc;
action view appliesTo { principal: [Agent, User], resource: [Doc], context: { ${context} } };
`,
  'facts.json': JSON.stringify(
    { sources: sources ?? { a: { rank: 1, speaks_of: [{ type: 'Doc', predicates: ['pages'] }] } }, facts },
    null,
    1,
  ),
})
const pages = { of: 'resource', type: 'Long', lifetime: '1h' }
const told = async (...given: Parameters<typeof files>) => linesOf(await compileFiles(files(...given)))

describe('facts.json', () => {
  it('that is right becomes part of the bundle', async () => {
    const { bundle, diagnostics } = await compileFiles(files(`facts: { pages: ${FORM} }`, { pages }))
    expect(diagnostics).toEqual([])
    expect(bundle?.facts).toMatchObject({ wait: '10m', facts: { pages: { on_contradiction: 'deny', sets: 'equal' } } })
  })

  it.each<[string, Parameters<typeof files>, string]>([
    [
      'a fact that nobody declared',
      [`facts: { page: ${FORM} }`, { pages }],
      'context.facts.page is a fact that nobody',
    ],
    ['an optional one', [`facts: { pages?: ${FORM} }`, { pages }], 'context.facts.pages is optional'],
    ['another form', ['facts: { pages: { value: Long } }', { pages }], 'context.facts.pages has another form'],
    [
      'another type of value',
      [`facts: { pages: ${FORM.replace('Long', 'String')} }`, { pages }],
      'context.facts.pages has another form',
    ],
    ['a claim that must be made', ['claims: { pages: Long }', { pages }], 'context.claims.pages is required'],
    ['a claim of another type', ['claims: { pages?: String }', { pages }], 'context.claims.pages is not a Long'],
    ['a claim of what nobody declared', ['claims: { colour?: String }', { pages }], 'context.claims.colour is a fact'],
    ['missing of another type', ['missing: Set<Long>', { pages }], 'context.missing is not a Set<String>'],
    ['a type that there is not', ['', { pages: { ...pages, type: 'Int' } }], ': Int is no type that a fact can have'],
    ['a tolerance without meaning', ['', { pages: { ...pages, tolerance: '5m' } }], ': 5m means nothing for Long'],
    ['sets of what is none', ['', { pages: { ...pages, sets: 'within' } }], '/facts/pages/sets means nothing for Long'],
    ['units in nothing', ['', { pages: { ...pages, units: { kilo: 1000 } } }], '/unit not in what'],
    [
      'an argument that the action does not have',
      [`facts: { pages: ${FORM} }`, { pages: { ...pages, of: 'arguments.doc as Doc' } }],
      'is about arguments.doc, which it',
    ],
    [
      'an argument whose type is not said',
      [`arguments: { doc: String }, facts: { pages: ${FORM} }`, { pages: { ...pages, of: 'arguments.doc' } }],
      'say of which type',
    ],
    ['an entity type that there is not', ['', { pages: { ...pages, of: 'arguments.x as Y' } }], 'no entity type Y'],
    ['what reads like no entity', ['', { pages: { ...pages, of: 'doc' } }], 'reads like resource, principal'],
    [
      'a source of an entity type that there is not',
      ['', { pages }, { a: { rank: 1, speaks_of: [{ type: 'Page', predicates: ['pages'] }] } }],
      'no entity type Page',
    ],
    [
      'one predicate of two types',
      ['', { length: { ...pages, predicate: 'pages', type: 'String' }, pages }],
      ': length has the same predicate',
    ],
    [
      'a fact that nobody may state',
      ['', { pages }, { a: { rank: 1, speaks_of: [{ type: 'Doc', predicates: ['other'] }] } }],
      'no source may state pages',
    ],
    ['a time that is none', ['', { pages: { ...pages, max_cache: 'soon' } }], 'a time reads like'],
  ])('%s is found', async (_, given, message) => {
    const lines = await told(...given)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(message)
  })

  it('must be there for what the schema asks of it', async () => {
    const { 'facts.json': _, ...rest } = files(`facts: { pages: ${FORM} }`, { pages })
    expect(linesOf(await compileFiles(rest))[0]).toContain('context.facts.pages is a fact that nobody declared')
  })
})

describe('@requires', () => {
  const policy = (requires: string): Files => ({
    ...files('', { pages }),
    'rules.cedar': `@id("a") @requires("${requires}") permit (principal, action, resource);`,
  })
  it.each<[string, string]>([
    ['page max_age 1h', 'there is no fact page'],
    ['pages max_age soon', 'a time reads like'],
    ['pages for 1h', "is not a fact's name and how old it may be"],
    ['pages, pages max_age 1h', 'names pages twice'],
  ])('%s is refused', async (requires, message) => {
    expect(linesOf(await compileFiles(policy(requires)))[0]).toContain(message)
  })
  it('may name several', async () => {
    expect(linesOf(await compileFiles(policy('pages max_age 1h max_cache 5s')))).toEqual([])
  })
})

it('an issuer speaks for a source that there is, and has the role for it', async () => {
  const key = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }
  const issuer = (more: object): Files => ({
    ...files('', { pages }),
    'tenant.json': JSON.stringify({
      tenant: 'test',
      issuers: [{ id: 'one', iss: 'https://one.example', algorithms: ['EdDSA'], jwks: { keys: [key] }, ...more }],
    }),
  })
  const lines = async (more: object) =>
    linesOf(await compileFiles(issuer(more))).map(line => line.slice(line.indexOf(' ', 6)))
  expect(await lines({ roles: { allowed: ['source'] }, source: 'a' })).toEqual([])
  expect((await lines({ roles: { allowed: ['source'] }, source: 'b' }))[0]).toContain('facts.json has no source b')
  expect((await lines({ roles: { allowed: ['source'] }, source: { ids: { x: 'c' } } }))[0]).toContain('no source c')
  expect((await lines({ roles: { allowed: ['pep'] }, source: 'a' }))[0]).toContain('goes with the role source')
  expect((await lines({ roles: { allowed: ['source'] } }))[0]).toContain('goes with the role source')
})
