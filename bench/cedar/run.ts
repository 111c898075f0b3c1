import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadEntities } from '../../src/cedar/entities.ts'
import { authorize } from '../../src/cedar/evaluate.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import { recordOf, valueFromJson } from '../../src/cedar/value.ts'
import { type Fixture, fixture } from './fixture.ts'

/** Compares evaluators of the same rules: `node bench/cedar/run.ts`. */

const SIZES = [20, 200, 2_000, 20_000]
const ROUNDS = 15
/** A round of one engine takes about this long. */
const ROUND_MS = 40

interface Engine {
  readonly name: string
  /** The decision on the i-th request; undefined when the engine can't express this bundle. */
  prepare(fixture: Fixture): ((i: number) => boolean) | undefined
}

const ENGINES: readonly Engine[] = [
  { name: 'countersign', prepare: countersign },
  { name: 'countersign, context read from JSON', prepare: countersignFromJson },
  { name: 'cedar-wasm, preparsed', prepare: cedarWasm },
]

const collectGarbage = exposeGc()

main()

function main(): void {
  const medians = new Map<string, (number | undefined)[]>(ENGINES.map(({ name }) => [name, []]))
  const heap: number[] = []
  for (const size of SIZES) {
    const bundle = fixture(size)
    heap.push(heapOf(bundle))
    for (const [name, ns] of measure(bundle)) medians.get(name)?.push(ns)
  }
  print(medians, heap)
}

/** Nanoseconds for one decision, the median of rounds that take turns. */
function measure(bundle: Fixture): Map<string, number | undefined> {
  const { requests } = bundle
  const running = ENGINES.flatMap(({ name, prepare }) => {
    const decide = prepare(bundle)
    return decide === undefined ? [] : [{ name, decide, count: 0, rounds: [] as number[] }]
  })
  const expected = requests.map((_, i) => running[0]?.decide(i))
  for (const engine of running) {
    const actual = requests.map((_, i) => engine.decide(i))
    if (String(actual) !== String(expected)) throw new Error(`${engine.name} decides ${actual}, not ${expected}`)
    engine.count = roundLength(engine.decide, requests.length)
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const engine of running) engine.rounds.push(time(engine.decide, requests.length, engine.count))
  }
  return new Map(running.map(({ name, rounds }) => [name, median(rounds)]))
}

/** How many decisions make a round; finding it out warms the engine up. */
function roundLength(decide: (i: number) => boolean, requests: number): number {
  let count = requests
  let spent = time(decide, requests, count) * count
  while (spent < ROUND_MS * 1e6) {
    count *= 2
    spent = time(decide, requests, count) * count
  }
  return count
}

/** The thread's own CPU time, so that what else the machine does counts for little. */
function time(decide: (i: number) => boolean, requests: number, count: number): number {
  const start = process.threadCpuUsage()
  for (let i = 0; i < count; i++) decide(i % requests)
  const { user, system } = process.threadCpuUsage(start)
  return ((user + system) * 1000) / count
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}

function countersign({ policies, entities, requests }: Fixture): (i: number) => boolean {
  const policySet = loadPolicies(policies)
  const store = loadEntities(entities)
  const ready = requests.map(request => ({ ...request, context: readContext(request.context) }))
  return i => {
    const request = ready[i]
    return request !== undefined && authorize(policySet, request, store).decision === 'allow'
  }
}

function countersignFromJson({ policies, entities, requests }: Fixture): (i: number) => boolean {
  const policySet = loadPolicies(policies)
  const store = loadEntities(entities)
  return i => {
    const request = requests[i]
    if (request === undefined) return false
    return authorize(policySet, { ...request, context: readContext(request.context) }, store).decision === 'allow'
  }
}

function readContext(context: Fixture['requests'][number]['context']) {
  return recordOf(Object.entries(context).map(([name, json]) => [name, valueFromJson(json)]))
}

/** Its policies are parsed beforehand; each call hands it the few entities that the request needs. */
function cedarWasm({ policies, requests }: Fixture): (i: number) => boolean {
  const require = createRequire(import.meta.url)
  const wasm: typeof import('@cedar-policy/cedar-wasm/nodejs') = require('@cedar-policy/cedar-wasm/nodejs')
  const parsed = wasm.preparsePolicySet('bench', JSON.parse(JSON.stringify(policies)))
  if (parsed.type === 'failure') throw new Error(parsed.errors.map(error => error.message).join('; '))
  const calls = requests.map(({ principal, action, resource, context, entities }) => ({
    ...JSON.parse(JSON.stringify({ principal, action, resource, context, entities })),
    preparsedPolicySetId: 'bench',
  }))
  return i => {
    const answer = wasm.statefulIsAuthorized(calls[i])
    if (answer.type === 'failure') throw new Error(answer.errors.map(error => error.message).join('; '))
    return answer.response.decision === 'allow'
  }
}

/** Bytes that a loaded bundle keeps, with what its first requests compiled; without the JSON that it came from. */
function heapOf({ policies, entities, requests }: Fixture): number {
  const texts = [JSON.stringify(policies), JSON.stringify(entities)]
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const decide = countersign({ policies: JSON.parse(texts[0] ?? ''), entities: JSON.parse(texts[1] ?? ''), requests })
  for (let i = 0; i < requests.length; i++) decide(i)
  collectGarbage()
  const bytes = process.memoryUsage().heapUsed - before
  decide(0)
  return bytes
}

function print(medians: ReadonlyMap<string, readonly (number | undefined)[]>, heap: readonly number[]): void {
  const wasm = medians.get('cedar-wasm, preparsed') ?? []
  const rows = [['µs per decision', ...SIZES.map(size => `${size.toLocaleString('en')} policies`), 'growth']]
  for (const [name, row] of medians) rows.push([name, ...row.map(microseconds), growth(row)])
  for (const [name, row] of medians) {
    if (row !== wasm) rows.push([`cedar-wasm / ${name}`, ...row.map((ns, i) => ratio(wasm[i], ns)), ''])
  }
  rows.push(['heap of a bundle, MB', ...heap.map(bytes => (bytes / 1e6).toFixed(2)), ''])
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length))) ?? []
  for (const row of rows) console.log(row.map((cell, i) => pad(cell, widths[i] ?? 0, i)).join('  '))
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width)
}

function microseconds(ns: number | undefined): string {
  return ns === undefined ? '' : (ns / 1000).toFixed(ns < 100_000 ? 2 : 0)
}

function growth(row: readonly (number | undefined)[]): string {
  return `${ratio(row.at(-1), row[0])}`
}

function ratio(a: number | undefined, b: number | undefined): string {
  return a === undefined || b === undefined ? '' : `${(a / b).toFixed(a / b < 100 ? 1 : 0)}x`
}

function exposeGc(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}
