import { sha256 } from '../durable/hash.ts'

/** The ledger's name for a fact: two sources may use one name for two facts. */
export const factId = (source: string, name: string): string => sha256(JSON.stringify([source, name]))
