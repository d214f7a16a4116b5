// Package sqlite is the driver for an embedded queue in a SQLite file: a durable
// queue with nothing to install, for one machine. Package mem is the same queue
// in memory.
//
//	sqlite:///var/lib/shop/queues.db?queue=orders
//	sqlite://./queues.db?queue=orders
//	sqlite:queues.db?queue=orders&max_attempts=3
//
// The first names an absolute path, the others one relative to the working
// directory. File and queue are made where they do not exist, the queue together
// with its dead-letter queue; the directory has to be there. A file holds any
// number of queues. The parameters are
//
//	queue               the queue's name (default)
//	visibility_timeout  the lease that a receive gives, such as 90s (30s)
//	retention           how long messages are kept, such as 4d (14d); letters
//	                    are kept twice as long
//	max_attempts        how often a message is delivered before it is
//	                    dead-lettered; 0 is no limit (5)
//	dead_letter         the dead-letter queue, or none (the queue's name and -dlq)
//	ordered             whether groups are kept in order (true)
//	dedupe_window       how long a second message with the same dedupe ID is
//	                    dropped; 0 is not at all (0)
//	delay               the delay of messages sent with none of their own (0)
//	synchronous         normal or full: whether each operation waits until the
//	                    disk has it (normal)
//
// The file keeps what a queue was made with. What a URL does not give is as it
// is there, or else the default in parentheses. What it gives changes the queue,
// for all processes, though Capabilities tell what it was when it was opened.
//
// # Durability
//
// What Send or Settle has reported as done survives kill -9 of any process,
// whatever synchronous is. A power cut, or a crash of the operating system, can
// undo the last moments of work in normal mode: messages sent then are lost, and
// messages acked then are delivered again; the file stays sound. With
// synchronous=full nothing is undone, and each operation waits for the disk.
//
// Several processes may use one file at once, on one machine: the locks that
// SQLite uses do not work on network file systems. Write operations take turns.
// A receive that waits sees a message of its own process at once and one of
// another process within some 25 milliseconds.
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
// to release it, counts: the queue can't tell that no handler ran. A message
// that reaches max_attempts so goes to the dead-letter queue without a reason.
// A redrive starts the count anew, and so does the dead-letter queue: a worker on
// it begins at attempt 1.
//
// # Limits
//
// A message is at most a gigabyte. Delays and leases are not limited. What would
// end later than the clock can count, some 250 years from now, does not end.
//
// # Clocks
//
// Leases, delays, retention and dedupe windows go by a clock that all processes of
// the machine share and that nobody sets (on Linux CLOCK_MONOTONIC): they are as
// long as they were meant to be, whatever the wall clock is set to, and a lease
// ends at the same moment for its holder and for all others. While the machine
// sleeps they stand still, as handlers do (on Windows they go on).
//
// Over a reboot, and when the file is moved to another machine, the time that has
// passed is what the wall clock says, or none if that has gone back. So it is
// between processes on a system that is none of Linux, macOS and Windows, and
// between containers of one machine in different time namespaces.
//
// EnqueuedAt is what the wall clock showed when the message was sent.
//
// # The file
//
// A file that is not ours (another program's database, one of a newer version of
// Sluice, anything that is no SQLite file) is refused, and nothing is written to it
// or beside it. A file, or the log or index beside it, that is deleted, moved,
// replaced, truncated or overwritten while it is open makes every operation fail
// with an error whose code is drivers.NotFound: what was written to it would be
// lost. A send that reports success was in the file at its path. Other programs may
// checkpoint and vacuum the file. A file that was damaged in place stays refused
// until the program opens it again; an older copy that is written over it within
// ten seconds of the time it was made is not told from the file.
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
// To read and write the file, and to make files beside it (queues.db-wal and
// queues.db-shm).
//
// # Testing
//
// Open a file in the test's own directory (testing.T.TempDir), or use package
// mem.
package sqlite
