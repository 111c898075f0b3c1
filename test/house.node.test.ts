import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'

/** How the files of `src` may hang together. Imports of types count as all others do. */

const src = join(import.meta.dirname, '../src')
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const imports = new Map(files.map(file => [file, importsOf(file)]))

it('no file imports itself, by whatever way', () => {
  expect(circles()).toEqual([])
})

it.each([
  ['cedar', []],
  ['sdk', []],
  ['durable', []],
  ['outgoing', []],
  ['settle', ['cedar', 'sdk']],
])('%s/ imports of the rest only %j', (folder, others) => {
  const foreign = edges().filter(
    ([from, to]) => folderOf(from) === folder && ![folder, ...others].includes(folderOf(to)),
  )
  expect(foreign).toEqual([])
})

it.each(['http', 'cli'])('%s/ is imported by the entry alone', folder => {
  const upward = edges().filter(
    ([from, to]) => folderOf(to) === folder && ![folder, 'index.ts'].includes(folderOf(from)),
  )
  expect(upward).toEqual([])
})

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  return [...text.matchAll(/^(?:import|export|}) .*?'(\.[^']+\.ts)'$/gm)]
    .map(([statement, path = '']) => ({ statement, path: join(dirname(file), path) }))
    .filter(({ statement, path }) => !(statement.startsWith('import type') && isObject(path)))
    .map(({ path }) => path)
}

/** The class of a Durable Object. A stub is typed by the class that it reaches, so what the class is made of may name it. */
function isObject(file: string): boolean {
  return file.endsWith('/object.ts')
}

function edges(): [from: string, to: string][] {
  return [...imports].flatMap(([from, all]) => all.map((to): [string, string] => [from, to]))
}

function folderOf(file: string): string {
  return file.split('/')[0] ?? file
}

/** Each as the way from a file back to it, found once. */
function circles(): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const follow = (file: string, way: string[]): void => {
    const at = way.indexOf(file)
    if (at >= 0) found.push([...way.slice(at), file])
    if (at >= 0 || done.has(file)) return
    for (const next of imports.get(file) ?? []) follow(next, [...way, file])
    done.add(file)
  }
  for (const file of files) follow(file, [])
  return found
}
