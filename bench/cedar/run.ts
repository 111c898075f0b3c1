import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadEntities, NO_ENTITIES } from '../../src/cedar/entities.ts'
import { authorize } from '../../src/cedar/evaluate.ts'
import type { PolicySetJson } from '../../src/cedar/json.ts'
import { loadPolicies } from '../../src/cedar/policies.ts'
import { recordOf } from '../../src/cedar/value.ts'
import { valueFromJson } from '../../src/cedar/value-json.ts'
import { type Fixture, type FixtureRequest, fixture } from './fixture.ts'
import { agentGovernance, casbin, casl, type Decide } from './peers.ts'
import { type Plain, plain, plainPolicies, plainUids } from './plain.ts'

/** Compares evaluators of the same rules: `node bench/cedar/run.ts`. */

const SIZES = [20, 200, 2_000, 20_000]
const ROUNDS = 15
/** A round of one engine takes about this long, or one decision on each request. */
const ROUND_MS = 40
/** An engine this slow at one size is left out at the next. */
const TOO_SLOW_MS = 60

interface Engine<Bundle> {
  readonly name: string
  /** The decision on the i-th request. */
  prepare(bundle: Bundle): Decide | Promise<Decide>
}

const FULL: readonly Engine<Fixture>[] = [
  { name: 'countersign', prepare: countersign },
  { name: 'countersign, context from JSON', prepare: countersignFromJson },
  { name: 'cedar-wasm, preparsed', prepare: bundle => cedarWasm(bundle.policies, bundle.requests) },
]

const PLAIN: readonly Engine<Plain>[] = [
  { name: 'countersign', prepare: plainCountersign },
  { name: 'cedar-wasm, preparsed', prepare: plainWasm },
  { name: '@casl/ability', prepare: casl },
  { name: 'casbin', prepare: casbin },
  { name: '@microsoft/agent-governance-sdk', prepare: agentGovernance },
]

const collectGarbage = exposeGc()

await main()

async function main(): Promise<void> {
  console.log('Cedar policies: groups, folders, templates, attributes compared, IP ranges, patterns.')
  console.log('CASL, casbin and agent-governance-sdk lack one or more of these, so they are not in this table.\n')
  const heap: number[] = []
  await compare(FULL, size => {
    const bundle = fixture(size)
    heap.push(heapOf(bundle))
    return bundle
  })
  console.log(`heap of a bundle, MB: ${SIZES.map((n, i) => `${((heap[i] ?? 0) / 1e6).toFixed(2)} at ${n}`).join(', ')}`)
  console.log('\nPlain rules: agent, action, type of resource, attributes of the request compared with literals.')
  console.log('CASL has one ability per agent, built beforehand from that agent’s rules: it never sees the others.\n')
  await compare(PLAIN, plain)
}

/** Prints a table of one decision's median at each size. */
async function compare<Bundle extends { readonly requests: readonly unknown[] }>(
  engines: readonly Engine<Bundle>[],
  bundleOf: (size: number) => Bundle,
): Promise<void> {
  const medians = new Map<string, (number | undefined)[]>(engines.map(({ name }) => [name, []]))
  for (const size of SIZES) {
    const slow = (name: string) => (medians.get(name)?.at(-1) ?? 0) > TOO_SLOW_MS * 1e6
    const results = await measure(
      engines.filter(({ name }) => !slow(name)),
      bundleOf(size),
    )
    for (const { name } of engines) medians.get(name)?.push(results.get(name))
  }
  print(medians)
}

/** Nanoseconds for one decision, the median of rounds that take turns. */
async function measure<Bundle extends { readonly requests: readonly unknown[] }>(
  engines: readonly Engine<Bundle>[],
  bundle: Bundle,
): Promise<Map<string, number>> {
  const { requests } = bundle
  const running: { name: string; decide: Decide; count: number; rounds: number[] }[] = []
  for (const { name, prepare } of engines) {
    running.push({ name, decide: await prepare(bundle), count: 0, rounds: [] })
  }
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
function roundLength(decide: Decide, requests: number): number {
  let count = requests
  let spent = time(decide, requests, count) * count
  while (spent < ROUND_MS * 1e6) {
    count *= 2
    spent = time(decide, requests, count) * count
  }
  return count
}

/** The thread's own CPU time, so that what else the machine does counts for little. */
function time(decide: Decide, requests: number, count: number): number {
  const start = process.threadCpuUsage()
  for (let i = 0; i < count; i++) decide(i % requests)
  const { user, system } = process.threadCpuUsage(start)
  return ((user + system) * 1000) / count
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}

function countersign({ policies, entities, requests }: Fixture): Decide {
  const policySet = loadPolicies(policies)
  const store = loadEntities(entities)
  const ready = requests.map(request => ({ ...request, context: readContext(request.context) }))
  return i => {
    const request = ready[i]
    return request !== undefined && authorize(policySet, request, store).decision === 'allow'
  }
}

function countersignFromJson({ policies, entities, requests }: Fixture): Decide {
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

function plainCountersign({ rules, requests }: Plain): Decide {
  const policySet = loadPolicies(plainPolicies(rules))
  const ready = requests.map(request => ({ ...plainUids(request), context: readContext(request.context) }))
  return i => {
    const request = ready[i]
    return request !== undefined && authorize(policySet, request, NO_ENTITIES).decision === 'allow'
  }
}

function plainWasm({ rules, requests }: Plain): Decide {
  const asked = requests.map(request => ({ ...plainUids(request), context: request.context, entities: [] }))
  return cedarWasm(plainPolicies(rules), asked)
}

/** Its policies are parsed beforehand; each call hands it the few entities that the request needs. */
function cedarWasm(policies: PolicySetJson, requests: readonly FixtureRequest[]): Decide {
  const wasm: typeof import('@cedar-policy/cedar-wasm/nodejs') = createRequire(import.meta.url)(
    '@cedar-policy/cedar-wasm/nodejs',
  )
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

function print(medians: ReadonlyMap<string, readonly (number | undefined)[]>): void {
  const [[ourName, ours] = ['', []]] = medians
  const rows = [['µs per decision', ...SIZES.map(size => `${size.toLocaleString('en')} policies`), 'growth']]
  for (const [name, row] of medians) rows.push([name, ...row.map(microseconds), ratio(row.at(-1), row[0])])
  for (const [name, row] of medians) {
    if (name !== ourName) rows.push([`${name} / ${ourName}`, ...row.map((ns, i) => ratio(ns, ours[i])), ''])
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length))) ?? []
  for (const row of rows) console.log(row.map((cell, i) => pad(cell, widths[i] ?? 0, i)).join('  '))
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width)
}

function microseconds(ns: number | undefined): string {
  return ns === undefined ? '–' : (ns / 1000).toFixed(ns < 100_000 ? 2 : 0)
}

function ratio(a: number | undefined, b: number | undefined): string {
  return a === undefined || b === undefined ? '–' : `${(a / b).toFixed(a / b < 100 ? 1 : 0)}x`
}

function exposeGc(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}
