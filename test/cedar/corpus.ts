import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { loadEntities } from '../../src/cedar/entities.ts'
import { authorize } from '../../src/cedar/evaluate.ts'
import { type CedarValueJson, type EntityJson, type EntityUid, parseJson } from '../../src/cedar/json.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import { loadSchema, type Schema } from '../../src/cedar/schema.ts'
import { typedRecord } from '../../src/cedar/typed.ts'
import { entityRef } from '../../src/cedar/value.ts'
import { parsePolicies, parseSchema } from './reference.ts'

/**
 * Runs Cedar's published integration tests: `node test/cedar/corpus.ts [DIR]`. DIR holds `corpus.tar.gz` (generated
 * cases, `corpus-tests/*.json`), handwritten `tests/**.json`, or both; a case names its other files relative to DIR.
 */

interface Case {
  readonly policies: string
  readonly entities: string
  readonly schema: string
  readonly requests: readonly CaseRequest[]
}

interface CaseRequest {
  readonly description: string
  readonly principal: EntityUid
  readonly action: EntityUid
  readonly resource: EntityUid
  readonly context: CedarValueJson
  readonly decision: 'allow' | 'deny'
  readonly reason: readonly string[]
  readonly errors: readonly string[]
}

const DEFAULT_DIR = '../shared/cedar-corpus'

process.exitCode = main(process.argv[2])

function main(argument: string | undefined): number {
  const dir = argument ?? DEFAULT_DIR
  if (!existsSync(dir)) {
    console.log(argument === undefined ? 'no corpus here, skipped' : `no such folder: ${dir}`)
    return argument === undefined ? 0 : 1
  }
  const tally = { cases: 0, requests: 0, differences: 0, unloadable: new Map<string, string[]>() }
  runFolder(dir, 'tests', tally)
  const archive = join(dir, 'corpus.tar.gz')
  if (existsSync(archive)) {
    const unpacked = mkdtempSync(join(tmpdir(), 'cedar-corpus-'))
    try {
      execFileSync('tar', ['-xzf', archive, '-C', unpacked])
      runFolder(unpacked, 'corpus-tests', tally)
    } finally {
      rmSync(unpacked, { recursive: true })
    }
  } else {
    runFolder(dir, 'corpus-tests', tally)
  }
  return report(tally)
}

interface Tally {
  cases: number
  requests: number
  differences: number
  /** Names of cases, by why the reference build couldn't load them. */
  readonly unloadable: Map<string, string[]>
}

function report({ cases, requests, differences, unloadable }: Tally): number {
  for (const [why, names] of unloadable) {
    console.log(`${names.length} not loaded by the reference build: ${why}`)
    for (const name of names) console.log(`  ${name}`)
  }
  const skipped = [...unloadable.values()].flat().length
  console.log(`${cases} cases, ${requests} requests, ${differences} differences, ${skipped} cases not loaded`)
  if (cases === 0) console.log('no cases found')
  return differences > 0 || cases === 0 ? 1 : 0
}

function runFolder(root: string, folder: string, tally: Tally): void {
  const start = join(root, folder)
  if (!existsSync(start)) return
  const files = readdirSync(start, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.json') && !file.endsWith('.entities.json'))
    .sort()
  for (const [i, file] of files.entries()) {
    if (process.stdout.isTTY && i % 50 === 0) process.stdout.write(`\r${folder} ${i}/${files.length}`)
    runCase(root, join(start, file), tally)
  }
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
}

function runCase(root: string, file: string, tally: Tally): void {
  const name = relative(root, file)
  const test = readJson(file) as Case
  tally.cases++
  let parsed: { policies: ReturnType<typeof parsePolicies>; schema: ReturnType<typeof parseSchema> }
  try {
    parsed = {
      policies: parsePolicies(readFileSync(join(root, test.policies), 'utf8')),
      schema: parseSchema(readFileSync(join(root, test.schema), 'utf8')),
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    tally.unloadable.set(why, [...(tally.unloadable.get(why) ?? []), name])
    return
  }
  try {
    const policies = loadPolicies(parsed.policies)
    const schema = loadSchema(parsed.schema)
    const entities = loadEntities(readJson(join(root, test.entities)) as EntityJson[], schema)
    for (const request of test.requests) {
      tally.requests++
      const context = contextOf(request, schema)
      const { decision, reasons, errors } = authorize(policies, { ...request, context }, entities)
      const actual = { decision, reason: reasons.toSorted(), errors: errors.map(error => error.policyId).sort() }
      const { reason, errors: expectedErrors } = request
      const expected = { decision: request.decision, reason: reason.toSorted(), errors: expectedErrors.toSorted() }
      if (JSON.stringify(actual) === JSON.stringify(expected)) continue
      tally.differences++
      console.log(`${name}, ${request.description}:`, { expected, actual, errors })
    }
  } catch (error) {
    tally.differences++
    console.log(`${name}: ${error instanceof Error ? error.stack : error}`)
  }
}

function contextOf({ action, context }: CaseRequest, schema: Schema) {
  const type = schema.actions.get(entityRef(action.type, action.id).key)?.context
  return typedRecord(context, type ?? { kind: 'record', attributes: new Map(), open: true })
}

/** The corpus has integers over the whole range of 64 bits. */
function readJson(file: string): unknown {
  return parseJson(readFileSync(file, 'utf8'))
}
