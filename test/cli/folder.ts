import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { type Compiled, compile } from '../../src/cli/compile.ts'

/** A policy folder that is right; a test says which files are otherwise, or not there (`undefined`). */
export type Files = Record<string, string | undefined>

export const RIGHT: Files = {
  'tenant.json': JSON.stringify({ tenant: 'test', issuers: [] }),
  'schema.cedarschema': `entity Group;
entity Agent in [Group] = { name: String };
entity User;
entity Doc in [Folder] = { owner: String, pages?: Long };
entity Folder;
action view appliesTo {
  principal: [Agent, User], resource: [Doc],
  context: { arguments: { pages: Long }, now: datetime },
};
`,
  'rules.cedar': `@id("view-all")
permit (principal, action == Action::"view", resource);
`,
}

export const makeFolder = (files: Files = {}): { dir: string; remove: () => void } => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-test-'))
  for (const [path, text] of Object.entries({ ...RIGHT, ...files })) {
    if (text === undefined) continue
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  return { dir, remove: () => rmSync(dir, { recursive: true }) }
}

export const compileFiles = async (files: Files = {}): Promise<Compiled> => {
  const { dir, remove } = makeFolder(files)
  try {
    const { diagnostics, ...compiled } = await compile(dir)
    const inFolder = diagnostics.map(({ place, ...rest }) =>
      place ? { ...rest, place: { ...place, file: relative(dir, place.file) } } : rest,
    )
    return { ...compiled, diagnostics: inFolder }
  } finally {
    remove()
  }
}

/** One line for each diagnostic: where, what, and the hint. */
export const linesOf = ({ diagnostics }: Compiled): string[] =>
  diagnostics.map(({ severity, message, place, hint }) => {
    const where = place === undefined ? '' : `${place.file}:${place.line}:${place.column} `
    return `${severity} ${where}${message}${hint === undefined ? '' : ` (${hint})`}`
  })
