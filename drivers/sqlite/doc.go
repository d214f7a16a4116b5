// Package sqlite is the driver for an embedded queue in a SQLite file: a durable
// queue for one machine, with nothing to install. Package mem keeps the same queue
// in memory.
//
//	sqlite:///var/lib/shop/queues.db?queue=orders
//	sqlite://./queues.db?queue=orders
//	sqlite:queues.db?queue=orders&max_attempts=3
//
// The first names an absolute path, the others one relative to the working
// directory. Opening creates the file and the queue if they do not exist, the queue
// together with its dead-letter queue; the directory must exist. A file holds any
// number of queues. The parameters are
//
//	queue               the queue's name (default)
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
//	synchronous         normal or full: whether each operation waits until the
//	                    disk has it (normal)
//
// The file keeps a queue's configuration. A parameter that the URL leaves out keeps
// the value from the file, or else has the default in parentheses. One that it gives
// changes the queue for all processes; Capabilities report the values from when a
// source or sink was opened.
//
// # Durability
//
// Work that Send or Settle has reported as done survives kill -9 of any process in
// either mode. A power cut, or a crash of the operating system, can undo the last
// moments of work in normal mode: messages sent then are lost, and messages acked
// then are delivered again; the file stays sound. With synchronous=full nothing of
// this is undone: sends and settlements wait for the disk. A receive does not wait in
// either mode, since no lease is held by a machine without power; the messages come
// again, and the attempts that were lost with the power are not counted.
//
// Commits wait by fdatasync if the system has it, as in SQLite's own builds for
// Linux; a sandbox must permit the call. modernc.org/sqlite has one switch for the
// whole process, so opening a queue sets it for the program's other files, too. No
// commit is less durable by it.
//
// Several processes may use one file at the same time, on one machine: SQLite's
// locks do not work on network file systems. Write operations take turns. A receive
// that waits sees a message of its own process immediately and one of another
// process within some 25 milliseconds.
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
// A message is at most a gigabyte. Delays and leases are not limited. One that ends
// later than the clock can count, some 250 years from now, does not end.
//
// # Clocks
//
// Leases, delays, retention and dedupe windows follow a clock that all processes of
// the machine share and that nobody can set (on Linux CLOCK_MONOTONIC). Setting the
// wall clock does not change their length, and a lease ends at the same moment for
// its holder and for all others. While the machine sleeps they stand still, as
// handlers do (on Windows they run on).
//
// Over a reboot, and when the file moves to another machine, time passes by the wall
// clock, or not at all if that was set back. The same holds between processes on
// systems other than Linux, macOS and Windows, and between containers of one
// machine in different time namespaces.
//
// EnqueuedAt is the wall-clock time at which the message was sent.
//
// # The file
//
// The driver refuses a file that is not a Sluice queue of a version that it knows
// (another program's database, a file of a newer Sluice, anything other than SQLite)
// and writes nothing to it or beside it. If the file, or the log or index beside it,
// is deleted, moved, replaced, truncated or overwritten while it is open, every
// operation fails with an error whose code is drivers.NotFound, because anything
// written to it would be lost. A message whose send reported success was in the file
// at its path. Other programs may checkpoint and vacuum the file. A file that was
// damaged in place stays refused until the program opens it again. The driver cannot
// detect an older copy that is written over the file within ten seconds of the time
// the copy was made.
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
// Read and write access to the file, and the right to create files beside it
// (queues.db-wal and queues.db-shm).
//
// # Testing
//
// Open a file in the test's own directory (testing.T.TempDir), or use package
// mem.
package sqlite
