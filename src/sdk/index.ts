export { type Client, type ClientOptions, createClient } from './client.ts'
export type { Ask, Decision, Settling } from './types.ts'
