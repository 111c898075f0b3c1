import * as v from 'valibot'
import { clientFor, clientOptions } from './audit/client.ts'
import { command } from './command.ts'
import { CommandError, exit } from './exit.ts'
import { paint } from './render.ts'

const Judgement = v.object({
  outcome: v.string(),
  reason: v.string(),
  policies: v.array(v.string()),
  missing: v.array(v.string()),
})
type Judgement = v.InferOutput<typeof Judgement>

const Told = v.looseObject({
  source: v.string(),
  from: v.string(),
  hash: v.string(),
  value: v.optional(v.unknown()),
})

const Again = v.object({
  recorded: Judgement,
  again: Judgement,
  same: v.boolean(),
  hangs_on_state: v.boolean(),
  facts: v.array(v.looseObject({ name: v.string(), status: v.string(), facts: v.array(Told) })),
})
type Again = v.InferOutput<typeof Again>

/** Puts the record to the test: a decision judged again, under its bundle and on what was known then. */
export const replay = command({
  summary: 'Judge a recorded decision again, on the policies and facts of then',
  args: ['ID'],
  options: { json: { type: 'boolean', help: 'write JSON, for machines' }, ...clientOptions },
  examples: ['replay 019ab2c4-5d6e-7f80-91a2-b3c4d5e6f708'],
  run: async ([id = ''], options) => {
    const client = await clientFor(options)
    const again = await client.get(`/v1/decisions/${encodeURIComponent(id)}/again`, Again)
    if (!again) throw new CommandError(`no decision ${id} is on record`, exit.refused)
    console.log(options.json ? JSON.stringify(again, null, 2) : said(again))
    // What hung on more than the receipt holds may come out otherwise, and nothing is wrong.
    return again.same || again.hangs_on_state ? exit.ok : exit.refused
  },
})

const said = ({ recorded, again, same, hangs_on_state, facts }: Again): string =>
  [
    same ? `${paint(['bold', 'green'], 'the same')}: ${told(recorded)}` : paint(['bold', 'red'], 'not the same'),
    ...(same ? [] : [`  recorded  ${told(recorded)}`, `  again     ${told(again)}`]),
    ...(hangs_on_state
      ? ["  it hung on limits, the agent's standing or its other decisions too, which no receipt holds"]
      : []),
    ...facts.flatMap(({ name, status, facts: known }) => [
      `  ${name}: ${status}`,
      ...known.map(
        ({ source, from, hash, value }) =>
          `    ${source}, from ${from === 'attestation' ? 'an attestation' : `the ${from}`}: ${value === undefined ? hash : JSON.stringify(value)}`,
      ),
    ]),
  ].join('\n')

const told = ({ outcome, reason, policies, missing }: Judgement): string =>
  [
    `${outcome}, ${reason}`,
    ...(policies.length > 0 ? [`by ${policies.join(', ')}`] : []),
    ...(missing.length > 0 ? [`without ${missing.join(', ')}`] : []),
  ].join('; ')
