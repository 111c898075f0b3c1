/** What a caller may be. A tenant lets each issuer give some of them. */
export const roles = ['agent', 'pep', 'admin', 'approver', 'auditor', 'source'] as const
export type Role = (typeof roles)[number]
