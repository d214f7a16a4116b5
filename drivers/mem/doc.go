// Package mem is the driver for an embedded queue in memory: for tests, for trying
// things out, and for work that need not survive the process. It depends on the
// standard library only. Package sqlite keeps the same queue in a file.
//
//	mem://orders
//	mem://orders?visibility_timeout=2m&max_attempts=3
//
// The first opening of a queue creates it and its dead-letter queue. The queues of
// an [Opener] belong to it, and end with it. The parameters are
//
//	visibility_timeout  the lease that a receive gives, such as 90s (30s)
//	retention           how long messages are kept, such as 4d (14d); letters
//	                    are kept twice as long
//	max_attempts        how often a message is delivered before it is
//	                    dead-lettered; 0 means no limit (5)
//	dead_letter         the dead-letter queue, or none (the queue's name and -dlq)
//	dead_letter_retention  how long letters are kept (twice the retention)
//	ordered             whether groups are kept in order (true)
//	dedupe_window       how long a second message with the same dedupe ID is
//	                    dropped; 0 is not at all (0)
//	delay               the delay of messages sent with none of their own (0)
//
// A parameter that the URL leaves out keeps the value from when the queue was
// opened before, or else has the default in parentheses. One that it gives changes
// the queue, also for sources and sinks that have it open; their Capabilities still
// report the values from when they were opened.
//
// # Delivery
//
// At least once, the messages that became visible first before others. On an
// ordered queue the messages of one group are delivered in the order in which
// they were sent; while one of them is in flight or waits for its retry, the
// later ones wait as well. Messages without a group are not ordered.
//
// Each delivery counts as an attempt, except one that the runtime releases
// before a handler has seen it (a drain, a closed gate, the tail of a group).
// A delivery whose process crashes, or whose lease ends before the runtime gets
// to release it, counts: the queue can't know that no handler ran. A message that
// reaches max_attempts this way goes to the dead-letter queue without a reason.
// A redrive restarts the count, and so does the dead-letter queue: a worker on it
// begins at attempt 1.
//
// # Limits
//
// Memory. Delays, leases and sizes are not limited. A delay or lease that ends later
// than the clock can count, some 250 years from now, does not end.
//
// # Clocks
//
// Leases, delays, retention and dedupe windows follow the monotonic clock, so
// setting the wall clock does not change their length. While the machine sleeps
// they stand still, as handlers do. EnqueuedAt is the wall-clock time at which the
// message was sent.
//
// # Verdict mapping
//
//	ack, drop        the message is deleted
//	retry with a delay  it is hidden until then
//	retry without       it is hidden until its lease ends
//	release             it can be received again, and no attempt is counted
//	reject              it is moved to the dead-letter queue with failure
//	                    attributes, in one step
//
// An ack after the end of the lease counts as long as the message was not
// delivered again; after that it fails as lease lost.
//
// # Attribute escaping
//
// None: names and values may hold any bytes, in any number.
//
// # Permissions
//
// None.
//
// # Testing
//
// Use this package to test a program that handles messages. The clock is the real
// one, or the clock of a testing/synctest bubble if the Opener is created in one.
package mem
