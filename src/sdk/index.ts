export { type Client, type ClientOptions, createClient } from './client.ts'
export { APPLIES_OBLIGATIONS, type Compliance, comply } from './obligations.ts'
export type { Ask, Decision, Settling } from './types.ts'
