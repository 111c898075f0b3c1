import { parseArgs } from 'node:util'
import { CommandError } from './exit.ts'

/** A command of the CLI: what it is called with, for `--help` and for parsing alike. */
export type Command = {
  summary: string
  /** Names of the arguments, all of which must be given. */
  args: readonly string[]
  options: Options
  examples: readonly string[]
  /** The exit code. Throws a `CommandError` for what its user can mend. */
  run: (argv: string[]) => Promise<number>
}

type Options = Readonly<Record<string, Option>>
type Option = { type: 'boolean'; help: string } | { type: 'string'; value: string; help: string }
type Values<O extends Options> = { [K in keyof O]?: O[K]['type'] extends 'string' ? string : boolean }

export const command = <const O extends Options>(
  spec: Omit<Command, 'run' | 'options'> & {
    options: O
    run: (args: string[], options: Values<O>) => Promise<number>
  },
): Command => ({
  ...spec,
  run: async argv => {
    const { values, positionals } = parse(argv, spec.options)
    const missing = spec.args[positionals.length]
    if (missing !== undefined) throw new CommandError(`${missing} is missing`)
    if (positionals.length > spec.args.length) throw new CommandError(`what is ${positionals[spec.args.length]}?`)
    // The parser has checked them against these options.
    return spec.run(positionals, values as Values<O>)
  },
})

export const helpOf = (name: string, { summary, args, options, examples }: Command): string => {
  const rows = Object.entries(options).map(([option, spec]): [string, string] => [
    `--${option}${spec.type === 'string' ? ` ${spec.value}` : ''}`,
    spec.help,
  ])
  return [
    `${summary}.`,
    '',
    `Usage: countersign ${[name, ...args, ...(rows.length > 0 ? ['[options]'] : [])].join(' ')}`,
    ...(rows.length > 0 ? ['', table(rows)] : []),
    ...(examples.length > 0 ? ['', ...examples.map(example => `  $ countersign ${example}`)] : []),
  ].join('\n')
}

/** Two columns. */
export const table = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n')
}

const parse = (args: string[], options: Options) => {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error))
  }
}
