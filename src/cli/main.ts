#!/usr/bin/env node
import { nearest } from '../policy/near.ts'
import { attest } from './attest.ts'
import { exportRecord } from './audit/export.ts'
import { archive, refill, restore } from './audit/keep.ts'
import { list } from './audit/list.ts'
import { show } from './audit/show.ts'
import { tail } from './audit/tail.ts'
import { verifyExport } from './audit/verify.ts'
import { check } from './check.ts'
import { type Command, helpOf, table } from './command.ts'
import { CommandError, exit } from './exit.ts'
import { history } from './history.ts'
import { push } from './push.ts'
import { paint } from './render.ts'
import { replay } from './replay.ts'
import { rollback } from './rollback.ts'
import { setup } from './setup.ts'
import { token } from './token.ts'

const commands: Readonly<Record<string, Command>> = {
  setup,
  check,
  push,
  history,
  rollback,
  token,
  attest,
  replay,
  'audit list': list,
  'audit show': show,
  'audit tail': tail,
  'audit export': exportRecord,
  'audit verify': verifyExport,
  'audit archive': archive,
  'audit restore': restore,
  'audit refill': refill,
}

const main = async (line: string[]): Promise<number> => {
  const [name, ...argv] = named(line)
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(overview())
    return name === undefined ? exit.usage : exit.ok
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) throw unknown(name)
  if (argv.includes('--help') || argv.includes('-h')) {
    console.log(helpOf(name, command))
    return exit.ok
  }
  return command.run(argv)
}

const unknown = (name: string): CommandError => {
  const names = Object.keys(commands)
  const below = names.filter(known => known.startsWith(`${name} `))
  const meant = below.length > 0 ? below.join(', ') : nearest(name, names)
  const hint = meant === undefined ? '`countersign --help` lists them' : `did you mean ${meant}?`
  return new CommandError(`there is no command ${name}`, exit.usage, hint)
}

/** Some commands have names of two words. */
const named = ([first, second, ...rest]: string[]): string[] => {
  const pair = `${first} ${second}`
  if (first === undefined || second === undefined) return first === undefined ? [] : [first]
  return Object.hasOwn(commands, pair) ? [pair, ...rest] : [first, second, ...rest]
}

const overview = (): string => {
  const rows = Object.entries(commands).map(([name, { summary, args }]): [string, string] => [
    [name, ...args].join(' '),
    summary,
  ])
  return [
    'Usage: countersign COMMAND [options]',
    '',
    table(rows),
    '',
    'countersign COMMAND --help says more. Exit codes: 0 done, 1 the folder or the record has errors,',
    '2 wrong usage, 3 another push came first, 4 wrangler or the Worker failed.',
  ].join('\n')
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // Anything else is a bug, and its stack is wanted.
  if (!(error instanceof CommandError)) throw error
  console.error(`${paint(['bold', 'red'], 'error')}: ${error.message}`)
  if (error.hint !== undefined) console.error(error.hint)
  process.exitCode = error.code
}
