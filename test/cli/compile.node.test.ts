import { mkdirSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/cli/compile.ts'
import { renderDiagnostics } from '../../src/cli/render.ts'
import { writeBundle } from '../../src/policy/bundle.ts'
import { compileFiles, type Files, linesOf, makeFolder, RIGHT } from './folder.ts'

const schema = (change: (text: string) => string): Files => ({
  'schema.cedarschema': change(RIGHT['schema.cedarschema'] ?? ''),
})
const rules = (text: string): Files => ({ 'rules.cedar': text })
const tenant = (settings: object): Files => ({
  'tenant.json': JSON.stringify({ tenant: 'test', issuers: [], ...settings }, null, 1),
})
const key = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }
const issuer = (more: object = {}) => ({
  id: 'one',
  iss: 'https://one.example',
  algorithms: ['EdDSA'],
  jwks: { keys: [key] },
  roles: { allowed: ['agent'] },
  agent: { type: 'Agent' },
  ...more,
})

describe('a folder that is right', () => {
  it('becomes a bundle, without a word', async () => {
    const { bundle, diagnostics } = await compileFiles()
    expect(diagnostics).toEqual([])
    expect(bundle).toMatchObject({
      v: 1,
      settings: { tenant: 'test', judge_user: true, limits: { attempts: '600/m' } },
      policies: { staticPolicies: { 'view-all': { effect: 'permit', annotations: { id: 'view-all' } } } },
      texts: { 'view-all': { text: '@id("view-all")\npermit (principal, action == Action::"view", resource);' } },
    })
  })

  it('has one hash, however its policies are laid out and commented', async () => {
    const policy = (id: string) => `@id("${id}") permit (principal, action, resource);`
    const one = await compileFiles({ 'rules.cedar': `${policy('a')}\n${policy('b')}` })
    const two = await compileFiles({
      'rules.cedar': `// why\n${policy('b')}`,
      'more/rules.cedar': `\n${policy('a')}\n`,
    })
    expect(one.bundle && writeBundle(one.bundle).hash).toBe(two.bundle && writeBundle(two.bundle).hash)
  })

  it('has text hashes that comments inside a policy do not change, and its meaning does', async () => {
    const hash = async (text: string) => (await compileFiles(rules(text))).bundle?.texts.a?.hash
    const plain = await hash('@id("a") permit (principal, action, resource) when { 1 < 2 };')
    expect(await hash('@id("a")\npermit (principal, action, resource) // all\nwhen { 1 < 2 };')).toBe(plain)
    expect(await hash('@id("a") permit (principal, action, resource) when { 1 < 3 };')).not.toBe(plain)
  })

  it('may link templates', async () => {
    const { bundle, diagnostics } = await compileFiles({
      ...rules('@id("t") @limit("5/h") permit (principal == ?principal, action, resource in ?resource);'),
      'links.json': JSON.stringify([
        {
          templateId: 't',
          newId: 't-1',
          values: { '?principal': { type: 'Agent', id: 'a' }, '?resource': { type: 'Folder', id: 'f' } },
        },
      ]),
    })
    expect(diagnostics).toEqual([])
    expect(bundle?.policies.templateLinks).toHaveLength(1)
    expect(bundle?.texts['t-1']?.text).toContain('// ?principal is Agent::"a"\n// ?resource is Folder::"f"')
    expect(bundle?.texts['t-1']?.hash).not.toBe(bundle?.texts.t?.hash)
  })
})

describe('what is shown', () => {
  it('is the place, the line and a hint', async () => {
    const { diagnostics } = await compileFiles(
      rules('@id("a")\npermit (principal, action == Action::"view", resource)\n\twhen { resource.ownr == "é" };'),
    )
    expect(renderDiagnostics(diagnostics)).toBe(
      [
        'error: attribute `ownr` on entity type `Doc` not found (policy a)',
        ' --> rules.cedar:3:9',
        '  |',
        '3 | \twhen { resource.ownr == "é" };',
        '  | \t       ^^^^^^^^^^^^^',
        '  = hint: did you mean `owner`?',
        '',
      ].join('\n'),
    )
  })
})

describe('what is refused, and where', () => {
  it.each<[string, Files, string[]]>([
    [
      'a policy that does not parse',
      rules('// é\n@id("a") permit (principal, action, resource) when { foo( };'),
      ['error rules.cedar:2:59 unexpected token `}` (expected'],
    ],
    [
      'each policy that does not parse, in each file',
      { 'a.cedar': 'permit (principal, action);', 'b.cedar': '@id("x") allow (principal, action, resource);' },
      ['error a.cedar:1:', 'error b.cedar:1:'],
    ],
    [
      'a policy without its semicolon',
      rules('@id("a") permit (principal, action, resource)'),
      ['error rules.cedar:1:46 unexpected end of input (expected `;`'],
    ],
    [
      'a policy without @id',
      rules('permit (principal, action, resource);'),
      ['error rules.cedar:1:1 the policy has no @id (every policy needs one, such as @id("refund-small"))'],
    ],
    [
      'two policies of one id',
      rules(
        '@id("a") permit (principal, action, resource);\n\n@doc("x") @id("a") forbid (principal, action, resource);',
      ),
      ['error rules.cedar:3:11 two policies have the id a (the other stands at '],
    ],
    [
      'a misspelt annotation',
      rules('@id("a")\n@limits("20/h")\nforbid (principal, action, resource);'),
      ['error rules.cedar:2:1 there is no annotation @limits (did you mean @limit?)'],
    ],
    [
      'another misspelt annotation',
      rules('@id("a") @eskalate("finance") forbid (principal, action, resource);'),
      ['error rules.cedar:1:10 there is no annotation @eskalate (did you mean @escalate?)'],
    ],
    [
      'an approver group that is nowhere',
      rules('@id("a") @escalate("finance") forbid (principal, action, resource);'),
      ['error rules.cedar:1:1 tenant.json has no approver group finance (add it to `approvers`)'],
    ],
    [
      'a delegation that nobody can be asked about',
      tenant({ exchange: { widening: { escalate: 'finance', approvals: '0' } } }),
      [
        'error tenant.json:6:16 exchange/widening/escalate there is no approver group finance',
        'error tenant.json:7:17 exchange/widening/approvals reads wrong: @approvals("0") is not 1 to 20',
      ],
    ],
    [
      'a delegation that is asked about for less time than a reminder takes',
      tenant({
        approvers: { finance: { entity: { type: 'Agent', id: 'x' } } },
        exchange: { widening: { escalate: 'finance', expires: '1h', remind: '2h' } },
      }),
      [
        'nobody may answer for finance: no entity is in Agent::"x"',
        'error tenant.json:16:14 exchange/widening/remind @remind comes no sooner than the request expires',
      ],
    ],
    [
      'a field that is none of the resource',
      rules('@id("a") @mask("ssn") permit (principal, action, resource);'),
      ['error rules.cedar:1:10 @mask("ssn"): "ssn" is not a field (write @mask('],
    ],
    [
      'a bound that is no integer',
      rules('@id("a") @clamp("arguments.pages <= many") permit (principal, action, resource);'),
      ['error rules.cedar:1:10 @clamp("arguments.pages <= many"): "arguments.pages <= many" is not a bound (write'],
    ],
    [
      'a value that is no JSON',
      rules('@id("a") @set("arguments.pages = five") permit (principal, action, resource);'),
      ['error rules.cedar:1:10 @set("arguments.pages = five"): "arguments.pages = five" sets no argument (write'],
    ],
    [
      'a forbid that rewrites',
      rules('@id("a") @set("arguments.pages = 5") forbid (principal, action, resource);'),
      ["error rules.cedar:1:10 @set can't stand on a forbid"],
    ],
    [
      'a permit that rewrites and has a limit',
      rules('@id("a") @clamp("arguments.pages <= 5") @limit("5/h") permit (principal, action, resource);'),
      ['error rules.cedar:1:41 @mask, @set and @clamp stand on permits without limits (put the limit on a forbid)'],
    ],
    [
      'an argument that no action has, or has otherwise',
      rules('@id("a") @set("arguments.pagez = 5, arguments.pages = true") permit (principal, action, resource);'),
      [
        'error rules.cedar:1:1 @set: action view has no argument pagez of type long',
        'error rules.cedar:1:1 @set: action view has no argument pages of type bool',
      ],
    ],
    [
      'a budget of what an action may go without',
      {
        ...rules(
          '@id("a") @budget("arguments.pages <= 9 per 1d, arguments.size <= 9 per 1d") forbid (principal, action, resource);',
        ),
        ...schema(text => text.replace('pages: Long }, now', 'pages?: Long }, now')),
      },
      [
        'error rules.cedar:1:1 @budget adds up arguments.pages, but action "view" may go without pages (a budget adds up',
        'error rules.cedar:1:1 @budget adds up arguments.size, but action "view" has no size (a budget adds up',
      ],
    ],
    [
      'a budget per group of a type that there is not',
      rules('@id("a") @budget("count <= 9 per 1d per group Teams") forbid (principal, action, resource);'),
      ['error rules.cedar:1:1 @budget is per group Teams, and the schema has no such entity type'],
    ],
    [
      'settings that name what the schema does not have',
      tenant({ redeem_only: ['view', 'vew'], data_classes: { types: { Dok: 'public' }, reads: ['reads'] } }),
      ['the schema has no action vew', 'the schema has no entity type Dok', 'the schema has no action reads'],
    ],
    [
      'personal data of a type that there is not, which would lie there in clear',
      tenant({ privacy: { personal: [{ of: 'resource', types: ['Doc', 'Dok'], fields: ['resource'] }] } }),
      ['the schema has no entity type Dok'],
    ],
    [
      'approvers of a type that there is not, or none at all',
      tenant({ approvers: { a: { entity: { type: 'Grop', id: 'x' } }, b: { entity: { type: 'Group', id: 'y' } } } }),
      [
        'nobody may answer for a: no entity is in Grop::"x"',
        'the schema has no entity type Grop',
        'nobody may answer for b: no entity is in Group::"y" (entities.json says who is in what)',
      ],
    ],
    [
      'a class that is not among the levels',
      tenant({ data_classes: { types: { Doc: 'publik' } } }),
      ['/data_classes: there is no class publik, which Doc has; there are public, internal, confidential, restricted'],
    ],
    [
      'a session that is neither its own nor the tree’s',
      rules('@id("a") @session("family") forbid (principal, action, resource);'),
      ['error rules.cedar:1:10 @session("family"): there is only "tree" (write @session("tree"))'],
    ],
    [
      'a policy of the whole tree that reads no session',
      rules('@id("a") @session("tree") permit (principal, action, resource);'),
      ['error rules.cedar:1:1 @session says whose session is read, and the policy reads none (leave it out'],
    ],
    [
      'people of a type that there is not',
      tenant({ privacy: { people: ['User', 'Usr'] } }),
      ['the schema has no entity type Usr'],
    ],
    [
      'a session that has what no session has',
      schema(text =>
        text.replace('now: datetime }', 'now: datetime, session: { level: String, mood: Long, steps?: Long } }'),
      ),
      [
        'action "view": context.session.level is a String (declare it as Long)',
        'action "view": context.session.mood is nothing that a session has (it has startedAt: datetime',
        'action "view": context.session.steps is optional (a session always has it',
      ],
    ],
    [
      'a limit that is no rate',
      rules('@id("a") @limit("20 per hour") forbid (principal, action, resource);'),
      ['error rules.cedar:1:10 @limit("20 per hour") is not a rate (write @limit("20/h")'],
    ],
    [
      'an integer that JSON would round',
      rules('@id("a") permit (principal, action, resource)\nwhen { context.arguments.pages < 9007199254740993 };'),
      ['error rules.cedar:2:34 the integer 9007199254740993 is beyond ±(2^53-1) (JSON loses'],
    ],
    [
      'a name that the schema does not have',
      rules('@id("a") permit (principal, action == Action::"viewe", resource);'),
      ['error rules.cedar:1:39 unrecognized action `Action::"viewe"` (did you mean `Action::"view"`?)'],
    ],
    [
      'optional attributes used unguarded',
      rules('@id("a") permit (principal, action, resource) when { resource.pages > 1 };'),
      ['error rules.cedar:1:54 unable to guarantee safety of access to optional attribute `pages`'],
    ],
    [
      'a schema that does not parse',
      schema(text => `${text}\nentity ;`),
      ['error schema.cedarschema:11:8 unexpected token'],
    ],
    [
      'a type that the schema does not have',
      schema(text => text.replace('name: String', 'name: Strin')),
      ['error schema.cedarschema:2:35 failed to resolve type'],
    ],
    [
      'actions of one id in two namespaces',
      {
        ...schema(() => {
          const namespace = (name: string) =>
            `namespace ${name} { entity X; action go, view appliesTo { principal: [X], resource: [X] }; }`
          return `${namespace('One')}\n${namespace('Two').replace('go, ', '')}`
        }),
        ...rules('@id("a") permit (principal, action == One::Action::"go", resource);'),
      },
      ['error schema.cedarschema:1:38 One::Action::"view" and Two::Action::"view" have the same id (a request names'],
    ],
    [
      'a context member that is not one',
      schema(text => text.replace('now: datetime', 'hour: Long')),
      [
        'error schema.cedarschema:6:8 action "view": context.hour is nothing that a context has (it has arguments (record), environment (record), now (datetime)',
      ],
    ],
    [
      'a context member of another type',
      schema(text => text.replace('now: datetime', 'now: Long')),
      ['error schema.cedarschema:6:8 action "view": context.now is a long (declare it as a datetime)'],
    ],
    [
      'an attribute of a principal that would be taken for whoever acts for it',
      schema(text => text.replace('name: String', 'act?: String').replace('pages?: Long', 'act?: Long')),
      ['error schema.cedarschema:6:8 Agent has an attribute act (in a request a subject'],
    ],
    [
      'extra that is not a string',
      schema(text => text.replace('pages: Long }', 'extra: Long }')),
      ['error schema.cedarschema:6:8 action "view": arguments.extra is not a String'],
    ],
    [
      'entities that do not fit the schema, each at its place',
      {
        'entities.json': `[
  { "uid": { "type": "Agent", "id": "a" }, "attrs": { "name": "A" } },
  { "uid": { "type": "Agent", "id": "b" }, "attrs": { "name": 7 } },
  { "uid": { "type": "Robot", "id": "c" } }
]`,
      },
      [
        'error entities.json:3:3 in attribute `name` on `Agent::"b"`, type mismatch',
        'error entities.json:4:3 entity `Robot::"c"` has type `Robot` which is not declared in the schema',
      ],
    ],
    [
      'entities whose numbers JSON would round',
      {
        'entities.json':
          '[{ "uid": { "type": "Doc", "id": "a" }, "attrs": { "owner": "x", "pages": 9007199254740993 } }]',
      },
      ['error entities.json:1:75 9007199254740993 is beyond ±(2^53-1)'],
    ],
    [
      'entities in a circle',
      {
        ...schema(text => text.replace('entity Folder', 'entity Folder in [Folder]')),
        'entities.json': JSON.stringify([
          { uid: { type: 'Folder', id: 'a' }, parents: [{ type: 'Folder', id: 'b' }] },
          { uid: { type: 'Folder', id: 'b' }, parents: [{ type: 'Folder', id: 'a' }] },
        ]),
      },
      ['error entities.json:1:1 '],
    ],
    [
      'JSON that is none',
      { 'tenant.json': '{ "tenant": "test",\n  issuers: [] }' },
      ['error tenant.json:2:3 expected a key in double quotes'],
    ],
    [
      'a key that stands twice',
      { 'tenant.json': '{ "tenant": "test", "issuers": [],\n"issuers": [] }' },
      ['error tenant.json:2:1 the key "issuers" stands here twice'],
    ],
    [
      'settings that are none',
      tenant({ judge_usr: false, tenant: 'Test', limits: { attempts: '5/w' } }),
      [
        'error tenant.json:2:12 /tenant: a tenant is 1-63 of a-z, 0-9 and -',
        'error tenant.json:4:15 judge_usr is not a member of this file',
        'error tenant.json:6:15 /limits/attempts: a rate reads like 20/h or 5/10m',
      ],
    ],
    [
      'an issuer without keys',
      tenant({ issuers: [{ ...issuer(), jwks: undefined }] }),
      ['error tenant.json:4:3 issuers/0 needs its keys from one of'],
    ],
    [
      'a development issuer',
      tenant({ issuers: [issuer({ development: true })] }),
      ['error tenant.json:27:19 issuers/0 is a development issuer, which only `push --local` adds'],
    ],
    [
      'issuers that could give two callers one name',
      tenant({ issuers: [issuer(), issuer({ id: 'two', iss: 'https://two.example' })] }),
      ['error tenant.json:48:13 issuers/1/agent prefix "" and prefix "": one begins with the other (see /0/agent)'],
    ],
    [
      'a private key among the public ones',
      tenant({ issuers: [issuer({ jwks: { keys: [{ ...key, d: 'x' }] } })] }),
      ['error tenant.json:12:6 issuers/0/jwks/keys/0 a private or symmetric key: only public keys belong here'],
    ],
    [
      'a mapping to a type that the schema does not have',
      tenant({ issuers: [issuer({ agent: { type: 'Bot' } })] }),
      ['error tenant.json:25:13 the schema has no entity type Bot'],
    ],
    [
      'groups that the agents can not be in',
      tenant({ issuers: [issuer({ groups: { type: 'Folder', allowed: [] } })] }),
      ["error tenant.json:28:13 Agent can't be in Folder (declare `entity Agent in [Folder]`)"],
    ],
    [
      'an action that a user can not be judged for',
      {
        ...schema(text => text.replace('principal: [Agent, User]', 'principal: [Agent]')),
        ...tenant({ issuers: [issuer({ user: { type: 'User' } })] }),
      },
      [
        'error schema.cedarschema:6:8 action "view" can\'t be taken for a user: it lists Agent but not User (add User to its principals',
      ],
    ],
    [
      'a link of no template, and one that misses a slot',
      {
        ...rules(
          '@id("t") permit (principal == ?principal, action, resource);\n@id("p") permit (principal, action, resource);',
        ),
        'links.json': `[
  { "templateId": "x", "newId": "one", "values": {} },
  { "templateId": "t", "newId": "p", "values": {} },
  { "templateId": "t", "newId": "two", "values": { "?resource": { "type": "Doc", "id": "d" } } }
]`,
      },
      [
        'error links.json:2:3 there is no template x',
        'error links.json:3:3 two policies have the id p',
        'error links.json:3:3 the link gives no ?principal',
        'error links.json:4:3 the link gives no ?principal',
        'error links.json:4:3 the template t has no ?resource',
      ],
    ],
    [
      'a folder without policies',
      { 'rules.cedar': undefined },
      [' has no policies (write them into files named *.cedar)'],
    ],
    [
      'a folder without a schema',
      { 'schema.cedarschema': undefined },
      [' has no schema (write one into schema.cedarschema)'],
    ],
    [
      'two schemas',
      { 'other.cedarschema': 'entity X;' },
      [' has two schemas: other.cedarschema and schema.cedarschema'],
    ],
    [
      'a bundle of more than 4 MiB',
      rules(`@id("a") @doc("${'x'.repeat(4 * 1024 * 1024)}") permit (principal, action, resource);`),
      ['error the bundle has '],
    ],
  ])('%s', async (_, files, expected) => {
    const compiled = await compileFiles(files)
    const lines = linesOf(compiled)
    expect(compiled.bundle).toBeUndefined()
    expect(lines).toHaveLength(expected.length)
    for (const [i, start] of expected.entries()) expect(lines[i]).toContain(start)
  })
})

describe('what is warned of', () => {
  it.each<[string, Files, string[]]>([
    ['a file that is not read', { 'rules.ceder': '' }, ['rules.ceder is not read']],
    [
      'a policy that can never match',
      rules('@id("a") permit (principal, action, resource) when { false };'),
      ['warning rules.cedar:1:1 policy is impossible'],
    ],
    [
      'a limit beside a permit without one',
      rules(
        '@id("a") @limit("5/h") permit (principal, action, resource);\n@id("b") permit (principal is Agent, action, resource);',
      ),
      [
        'warning rules.cedar:1:1 its limit may limit nothing: b has no limit and may permit the same (only scopes were compared',
      ],
    ],
  ])('%s', async (_, files, expected) => {
    const compiled = await compileFiles(files)
    expect(compiled.bundle).toBeDefined()
    const lines = linesOf(compiled)
    expect(lines).toHaveLength(expected.length)
    for (const [i, start] of expected.entries()) expect(lines[i]).toContain(start)
  })

  it.each<[string, string]>([
    [
      'apart by principal',
      '@id("a") @limit("5/h") permit (principal is Agent, action, resource); @id("b") permit (principal is User, action, resource);',
    ],
    [
      'apart by groups',
      '@id("a") @limit("5/h") permit (principal in Group::"a", action, resource); @id("b") permit (principal in Group::"b", action, resource);',
    ],
    [
      'both metered',
      '@id("a") @limit("5/h") permit (principal, action, resource); @id("b") @limit("6/h") permit (principal, action, resource);',
    ],
    [
      'a limit on a forbid',
      '@id("a") @limit("5/h") forbid (principal, action, resource); @id("b") permit (principal, action, resource);',
    ],
  ])('not of a limit that holds: %s', async (_, text) => {
    expect(linesOf(await compileFiles(rules(text)))).toEqual([])
  })
})

it('reads nothing through a link to a folder, which it says, and is not caught by one that leads to itself', async () => {
  const { dir, remove } = makeFolder()
  const elsewhere = makeFolder({
    'rules.cedar': '@id("linked") forbid (principal, action, resource);',
  })
  try {
    symlinkSync(elsewhere.dir, join(dir, 'linked'))
    symlinkSync('.', join(dir, 'again'))
    const { bundle, diagnostics } = await compile(dir)
    expect(Object.keys(bundle?.policies.staticPolicies ?? {})).toEqual(['view-all'])
    expect(diagnostics.map(({ message }) => relative(dir, message))).toEqual([
      'again is not read: it is a link to a folder',
      'linked is not read: it is a link to a folder',
    ])
    symlinkSync('circle', join(dir, 'circle'))
    const broken = await compile(dir)
    expect(broken.diagnostics.map(({ message }) => relative(dir, message))).toContain('circle is not a file')
  } finally {
    remove()
    elsewhere.remove()
  }
})

it('reads a linked file as what it leads to, and says where a link leads nowhere', async () => {
  const { dir, remove } = makeFolder()
  const elsewhere = makeFolder({
    'rules.cedar': '@id("linked") forbid (principal, action, resource);',
  })
  try {
    symlinkSync(join(elsewhere.dir, 'rules.cedar'), join(dir, 'linked.cedar'))
    const { bundle, diagnostics } = await compile(dir)
    expect(diagnostics).toEqual([])
    expect(Object.keys(bundle?.policies.staticPolicies ?? {})).toEqual(['linked', 'view-all'])
    symlinkSync(join(dir, 'nowhere.cedar'), join(dir, 'broken.cedar'))
    mkdirSync(join(dir, 'entities.json'))
    const broken = await compile(dir)
    expect(broken.bundle).toBeUndefined()
    expect(broken.diagnostics.map(({ message }) => relative(dir, message))).toEqual([
      'broken.cedar is not a file',
      'entities.json is not a file',
    ])
  } finally {
    remove()
    elsewhere.remove()
  }
})
