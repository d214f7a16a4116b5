// Package outbox keeps messages in a table of the user's database until they are due,
// and relays them to their queues.
//
// One table serves four purposes:
//
//   - Outbox: [Table.Send] writes messages in the caller's transaction. Messages of a
//     committed transaction reach their queue at least once; messages of one that was
//     rolled back never do.
//   - Delay: a message with a Delay stays in the table until the delay has passed. The
//     queue gets it then, as a first attempt. [Delayed] does this for any sink.
//   - Unique and debounced messages: [Table.SendUnique] writes no second message while
//     one with the same key is pending; [Table.Debounce] replaces the pending one.
//   - Schedules: [Schedule] describes messages that are made at times of the clock.
//
// A [Relay] moves due rows to their queues. It is a consumer over the table's
// [drivers.Source] and a producer for each queue, so leases, batches, backoff and
// telemetry are those of every consumer.
//
// # Delivery
//
// A row is sent at least once: the relay sends, then marks the row as sent. If it
// crashes between the two, another relay sends the message again, with the same
// identity ([handler.Message.DedupeID]), which the idempotency middleware and FIFO
// queues recognize. The attempt number at the queue starts at 1.
//
// Rows of one queue and group are sent in the order in which they were written. If
// transactions that write to one group overlap, their order is the order in which they
// took row numbers, and a row whose transaction commits late can be sent after a later
// one. A delayed row takes its place when it is due. A row that cannot be sent holds
// back the later rows of its group, and no others. It is tried again with backoff, up to
// every five minutes, until it is sent or discarded ([Table.Discard]): the table has no
// dead-letter queue, because the row itself is safe and visible ([Table.Pending]).
//
// # Time
//
// All times are those of the database's clock, so the clocks of relays do not matter. A
// message is never sent before it is due. It is late by at most the relay's poll interval
// and the time that its requests take, and as long as no relay runs.
//
// # Schedules and daylight saving time
//
// If the hours of a cron expression are fixed ("30 2 * * *"), its times are those of the
// wall clock in the schedule's zone: a time that the zone leaves out in spring is moved to
// the end of the gap, and a time that it has twice in autumn counts the first time. If the
// hours are "*" or "*/n", the times are evenly spaced in real time: no hour is left out, and
// the repeated hour has its times twice. Vixie's cron has the same rules.
//
// Each time makes one message, whatever number of relays run, stop or crash, and however
// clocks are set: the table holds the latest time of each schedule, and a relay moves it on
// and writes the message in one transaction.
//
// # Databases
//
// PostgreSQL from version 11, SQLite from version 3.35 (in WAL mode, with a busy
// timeout) and MySQL from version 8.0.1 or MariaDB from version 10.6 are supported.
// [Migration] prints the SQL that makes the table; [Table.Migrate] runs it.
//
// Amazon RDS Proxy may pin the PostgreSQL connections of a relay, and of a [Table.Send] of
// more than 100 messages without a transaction: it names set_config among the reasons. They
// call it, for one transaction, so that PostgreSQL ends the transaction if the client's host
// is gone. The proxy shares a pinned connection with no other client. A relay with a small
// *sql.DB of its own ([database/sql.DB.SetMaxOpenConns]) pins few.
package outbox
