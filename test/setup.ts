import { applyD1Migrations, type D1Migration } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Fixture } from './bundles.ts'

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_MIGRATIONS: D1Migration[]
      /** `1` where the environment says FULL=1: tests of concurrency in full size. */
      TEST_FULL: string
      /** By the folder's name under test/fixtures. */
      TEST_BUNDLES: Record<string, Fixture>
      TEST_RECEIPTS: string
      TEST_LINKS: string
    }
  }
}

await applyD1Migrations(env.DB, env.TEST_MIGRATIONS)
