// Prints `N passed, N failed[, N skipped]` from vitest's JSON report, and fails if nothing ran.
import { readFileSync } from 'node:fs'

const { numPassedTests, numFailedTests, numPendingTests, numFailedTestSuites } = JSON.parse(
  readFileSync(process.argv[2], 'utf8'),
)
const failed = numFailedTests + (numFailedTests === 0 ? numFailedTestSuites : 0)
const skipped = numPendingTests > 0 ? `, ${numPendingTests} skipped` : ''
console.log(`${numPassedTests} passed, ${failed} failed${skipped}`)
if (numPassedTests === 0 || failed > 0) process.exitCode = 1
