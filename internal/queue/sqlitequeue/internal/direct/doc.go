// Package direct calls SQLite without database/sql: the same SQLite, in the same
// module, by its C interface. A statement that is kept runs without an allocation,
// and a row costs those of its strings and blobs. By way of database/sql and its
// driver each costs twenty and more, and a query several for each column.
//
// Memory of SQLite's is outside Go's heap: arguments are copied into it and columns
// out of it, so that no pointer crosses the border.
package direct
