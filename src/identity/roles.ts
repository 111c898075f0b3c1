import type { Role } from '../policy/roles.ts'
import type { Caller } from './caller.ts'

/** `undefined` where the caller has one of the roles, else the reason to refuse the call. */
export const requireRole = (caller: Pick<Caller, 'roles'>, ...anyOf: readonly Role[]): 'forbidden_role' | undefined =>
  anyOf.some(role => caller.roles.includes(role)) ? undefined : 'forbidden_role'
