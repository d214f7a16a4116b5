// Package sqlitequeue keeps the queues of package queue in a SQLite file that
// several processes may share. It is a package of its own so that a program which
// keeps its queues in memory does not link SQLite.
//
// Every operation is one transaction, and an engine carries out one at a time: a
// caller takes the database's turn, waits for the file's lock, and reads the file's
// clock. Operations that count or list messages use connections of their own and
// take the turn only to read the clock and the queue.
package sqlitequeue
