import { readFileSync } from 'node:fs'
import process from 'node:process'

// Closes a run with the runner's own count on a line of its own, and fails unless every test passed. Plain JavaScript:
// outside npm's scripts the machine's own Node runs it.
const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
console.log(`${report.numPassedTests} passed, ${report.numFailedTests} failed`)
process.exitCode = report.success && report.numPassedTests > 0 ? 0 : 1
