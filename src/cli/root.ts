import { join } from 'node:path'

/** The project's folder: where wrangler.toml stands, and the files that `setup` makes. */
export const root = join(import.meta.dirname, '..', '..')
