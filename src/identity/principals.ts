import type { EntityUid } from '../cedar/json.ts'

/** The agent, the agents that delegated to it (nearest first), and the user it acts for. */
export type PrincipalChain = { actor: EntityUid; chain: EntityUid[]; user?: EntityUid }
