import { compile } from '../src/cli/compile.ts'
import type { Bundle } from '../src/policy/bundle.ts'

/** What a policy folder under test/fixtures came to. */
export type Fixture = { bundle?: Bundle; problems: string[] }

/** Cedar's parser and validator don't run in workerd, so the folders are compiled in Node and handed over as a binding. */
export const compileFixtures = async (...names: string[]): Promise<Record<string, Fixture>> =>
  Object.fromEntries(await Promise.all(names.map(async name => [name, await fixture(name)])))

const fixture = async (name: string): Promise<Fixture> => {
  // the example tenant is one too
  const { bundle, diagnostics } = await compile(name === 'acme' ? 'policies' : `test/fixtures/${name}`)
  const problems = diagnostics.map(({ severity, message }) => `${severity}: ${message}`)
  return { ...(bundle && { bundle }), problems }
}
