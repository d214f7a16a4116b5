// Package letters groups the letters of a dead-letter queue by cause, and selects, discards,
// exports, imports, edits and archives them. Package redrive sends them back to their queue.
//
// A [Filter] selects letters. It is the same for each operation. [Each] looks through
// letters; on SQS and Pub/Sub that delivers them, under leases that it keeps to the end and
// then gives back.
package letters
