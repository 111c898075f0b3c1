import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: [
    './src/audit/tables.ts',
    './src/audit/privacy/tables.ts',
    './src/delegation/tables.ts',
    './src/escalation/tables.ts',
    './src/facts/tables.ts',
    './src/policy/tables.ts',
  ],
  out: './migrations',
})
