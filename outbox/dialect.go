package outbox

import "fmt"

// A Dialect is a database's flavor of SQL.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	SQLite
	// MySQL is MySQL or MariaDB. Its transactions must be READ COMMITTED or stricter. A
	// relay whose host is gone holds up the others until the server ends its session: set
	// wait_timeout to little more than the pool's idle time, as package opentable does.
	MySQL
)

var dialectNames = [...]string{PostgreSQL: "PostgreSQL", SQLite: "SQLite", MySQL: "MySQL"}

// String returns the database's name.
func (d Dialect) String() string {
	if d.valid() {
		return dialectNames[d]
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

func (d Dialect) valid() bool { return d >= PostgreSQL && d <= MySQL }
