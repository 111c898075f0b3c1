import { nameOf } from '../../durable/names.ts'

/** The object of a tenant's log. */
export const logOf = <Log extends Rpc.DurableObjectBranded>(logs: DurableObjectNamespace<Log>, tenant: string) =>
  logs.getByName(nameOf('log', tenant))

/** What the keys of a tenant's log begin with in the bucket. */
export const logPrefix = (tenant: string): string => `${nameOf('log', tenant)}/`

/** The first line of the log's checkpoints: the address below which its tiles are, without the scheme (tlog-tiles). */
export const logOrigin = ({ ORIGIN }: { ORIGIN: string }, tenant: string): string =>
  `${ORIGIN.replace(/^\w+:\/\//, '')}/${tenant}/v1/log`
