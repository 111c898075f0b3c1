import { lstatSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Diagnostic, error, warning } from './diagnostic.ts'
import type { SourceText } from './source-text.ts'

/** A policy folder, as it lies on disk. */
export type Folder = {
  tenant?: SourceText
  schema?: SourceText
  entities?: SourceText
  links?: SourceText
  facts?: SourceText
  /** Every `*.cedar`, also in folders below, in order of their paths. */
  policies: SourceText[]
  diagnostics: Diagnostic[]
}

export const readFolder = (dir: string): Folder => {
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) {
    return { policies: [], diagnostics: [error(`${dir} is not a folder`)] }
  }
  const folder: Folder = { policies: [], diagnostics: [] }
  const paths = pathsBelow(dir)
    .filter(path => {
      // A link counts as what it leads to.
      const is = statOf(join(dir, path))
      if (is?.isFile()) return true
      if (!is?.isDirectory() || /\.(cedar|cedarschema|json)$/.test(path))
        folder.diagnostics.push(error(`${join(dir, path)} is not a file`))
      else if (lstatSync(join(dir, path)).isSymbolicLink())
        folder.diagnostics.push(warning(`${join(dir, path)} is not read: it is a link to a folder`))
      return false
    })
    .sort()
  const read = (path: string): SourceText => ({
    file: join(dir, path),
    text: readFileSync(join(dir, path), 'utf8').replace(/^\uFEFF/, ''),
  })
  const schemas: string[] = []
  for (const path of paths) {
    if (path.endsWith('.cedar')) folder.policies.push(read(path))
    else if (path.endsWith('.cedarschema')) schemas.push(path)
    else if (path === 'tenant.json') folder.tenant = read(path)
    else if (path === 'entities.json') folder.entities = read(path)
    else if (path === 'links.json') folder.links = read(path)
    else if (path === 'facts.json') folder.facts = read(path)
    // A misspelt name must not silently leave a forbid out.
    else if (!path.endsWith('.md')) folder.diagnostics.push(warning(`${join(dir, path)} is not read`))
  }
  const [schema, second] = schemas
  if (schema === undefined) {
    folder.diagnostics.push(error(`${dir} has no schema`, { hint: 'write one into schema.cedarschema' }))
  } else if (second !== undefined) {
    folder.diagnostics.push(error(`${dir} has two schemas: ${schema} and ${second}`))
  } else folder.schema = read(schema)
  if (folder.tenant === undefined) folder.diagnostics.push(error(`${dir} has no tenant.json`))
  if (folder.policies.length === 0) {
    folder.diagnostics.push(error(`${dir} has no policies`, { hint: 'write them into files named *.cedar' }))
  }
  return folder
}

/** Whether Node's own walk goes through links to folders depends on its version, and what is pushed must not. */
const pathsBelow = (dir: string, under = ''): string[] =>
  readdirSync(join(dir, under), { withFileTypes: true }).flatMap(entry => {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return []
    const path = `${under}${entry.name}`
    return entry.isDirectory() ? [path, ...pathsBelow(dir, `${path}/`)] : path
  })

/** Of a link that leads to itself there is nothing to be said either. */
const statOf = (path: string): Stats | undefined => {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}
