import { nameOf, shardOf } from '../durable/names.ts'
import type { CollectorObject } from './collector.ts'
import type { Backlog } from './waiting.ts'

/** How many collectors write one tenant's receipts. Another number moves chains, which is harmless: D1 knows each link. */
const COUNT = 6

type Collectors = DurableObjectNamespace<CollectorObject>

/** The collector that a chain's receipts go through. */
export const collectorOf = (collectors: Collectors, tenant: string, chain: string) =>
  collectors.getByName(collectorName(tenant, shardOf(chain, COUNT)))

/** What waits for D1, over all of a tenant's collectors. */
export const backlogOf = async (collectors: Collectors, tenant: string): Promise<Backlog> => {
  const each = await Promise.all(
    Array.from({ length: COUNT }, (_, shard) => collectors.getByName(collectorName(tenant, shard)).backlog()),
  )
  const chains = each.flatMap(backlog => backlog.chains).sort((a, b) => a.since - b.since)
  const forks = each.flatMap(backlog => backlog.forks)
  return { chains, forks }
}

const collectorName = (tenant: string, shard: number): string => nameOf('collector', tenant, String(shard))
