package sqlstore

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/sqlconn"
)

// refused reports whether a transaction failed at op by what its handler did, or by its
// message's key. Of a commit, PostgreSQL says so by every code but those of ofServer: a
// constraint or a trigger that is checked at the commit may raise any, and the handler may
// have let the transaction idle or last for too long. Before it, no handler has seen the
// message, and only the key can be at fault. The errors without a code are the answers to
// the commit of a transaction that the handler has ended itself, or that the database had
// rolled back: the handler returned nil in spite of a statement's error.
func refused(op string, err error) bool {
	switch state := sqlconn.State(err); {
	case state == "":
	case op == "commit":
		return !ofServer(state)
	default:
		return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23")
	}
	text := err.Error()
	return errors.Is(err, sql.ErrTxDone) ||
		text == "commit unexpectedly resulted in rollback" || // pgx
		text == "pq: Could not complete operation in a failed transaction" ||
		strings.Contains(text, "cannot commit - no transaction is active") // SQLite
}

// ofServer reports whether a code of PostgreSQL says that the server, or the connection to
// it, can't serve any transaction now.
func ofServer(state string) bool {
	switch {
	case strings.HasPrefix(state, "08"), // connection exceptions
		strings.HasPrefix(state, "53"),  // insufficient resources
		strings.HasPrefix(state, "57P"), // operator intervention, but not query_canceled
		strings.HasPrefix(state, "58"),  // system errors
		strings.HasPrefix(state, "XX"),  // internal errors
		state == "25006":                // read_only_sql_transaction: a replica by now
		return true
	default:
		return false
	}
}

// overlong reports whether a handler failed with PostgreSQL's code for a transaction that it
// let idle or last for too long. The server ends the connection with it, which is not an
// outage.
func overlong(verdict error) bool {
	e, ok := invoke.As[interface {
		error
		SQLState() string
	}](verdict)
	if !ok {
		return false
	}
	var state string
	_ = invoke.DoApart(func() { state = e.SQLState() }) // a method of the user's may panic
	return state == "25P03" || state == "25P04"         // idle_in_transaction_session_timeout, transaction_timeout
}

// conflict reports whether PostgreSQL rolled a transaction back because of another: a
// serialization failure or a deadlock. The same transaction can succeed right after.
func conflict(err error) bool {
	state := sqlconn.State(err)
	return state == "40001" || state == "40P01"
}
