/** As much of the peers as the benchmark calls, so that types check without installing them. */
declare module '@casl/ability' {
  export interface Ability {
    can(action: string, subject: object): boolean
  }
  export function createMongoAbility(rules: readonly object[]): Ability
  export function subject(type: string, fields: object): object
}

declare module 'casbin' {
  export interface Enforcer {
    enforceSync(...request: readonly unknown[]): boolean
  }
  export class StringAdapter {
    constructor(policy: string)
  }
  export function newModelFromString(text: string): object
  export function newEnforcer(model: object, adapter: StringAdapter): Promise<Enforcer>
}

declare module '@microsoft/agent-governance-sdk' {
  export const ConflictResolutionStrategy: { readonly DenyOverrides: 'deny_overrides' }
  export class PolicyEngine {
    constructor(rules: readonly object[], strategy: 'deny_overrides')
    loadPolicy(policy: object): void
    evaluatePolicy(agent: string, context: Record<string, unknown>): { readonly allowed: boolean }
  }
}
