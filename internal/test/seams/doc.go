// Package seams has no code of its own. Its test runs random, seeded programs of
// faults over every queue: deploys and kills, lost and late answers, partial
// failures, throttling, outages of the queue and of the idempotency store, lost
// leases, redrives, poison, and panics from every hook. A
// checker then holds the history of each message against what the runtime and the
// drivers promise.
//
// This suite leaves two things to others: steps of the wall clock and suspends (package
// internal/test/wallclock) and processes that are really killed (internal/test/crashtest).
//
// Programs run in virtual time (testing/synctest), so that each takes
// milliseconds: the embedded engine, sqstest and the Pub/Sub fake all work in a
// bubble. They run in child processes: one that crashes or hangs costs its own
// program only, and the parent knows which.
//
// TestStores runs other programs, in real time, around each idempotency store that
// can be had on the machine: memory, SQLite, Redis, PostgreSQL, PostgreSQL behind a
// pooler in transaction mode, and in long runs DynamoDB. Their servers fail over,
// end connections, answer late or not at all, while messages come twice, singly and
// in batches, in transactions, and letters are redriven.
//
// A finding prints its seed, its program and the history of the message that it
// is about:
//
//	go test ./internal/test/seams -seams.queue=mem -seams.seed=42
//
// runs that program again, several times, since goroutines do not always run in
// the same order. In `go test ./...` each day has its seeds (by UTC), so that all
// runs of a day begin with the same programs; a faster machine gets further. `make
// seams DURATION=30m` runs fresh seeds for half an hour. The faults that the suite,
// or another test, is known to catch are in docs/seams.md.
package seams
