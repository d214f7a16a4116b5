// Package sqlitequeue keeps the queues of package queue in a SQLite file that
// several processes may share. It is a separate package so that a program with
// queues in memory does not link SQLite.
//
// Every operation is part of one transaction, and an engine carries out one
// transaction at a time: a caller takes the database's turn, waits for the file's
// lock, and reads the file's clock. Those who wait for the turn meanwhile share the
// next transaction; if one of them fails it is undone, and each has one of its own.
// Operations that count or list messages use connections of their own and take the
// turn only to read the clock and the queue.
//
// An engine remembers the clock and the queues until SQLite says that another
// connection has committed something.
package sqlitequeue
