// Package letters holds letters.sh, which goes from 40 dead letters of two causes to an
// empty dead-letter queue: groups, a canary on a handler that is still broken, the fix, a
// canary and the redrive, and the discard of the rest. Its test runs it on SQS and on the
// Pub/Sub fake.
package letters
