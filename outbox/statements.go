package outbox

import (
	"fmt"
	"regexp"
	"strings"
)

// statements are the statements of one dialect on one table. The state of a row is 0 while
// it is pending (due_at is when it may be sent, zero from the start), 1 once it was sent
// (due_at is when), and 2 if it is the row of a schedule (due_at is its latest time). Parameters are numbered in
// the order in which they appear, each used once, because MySQL's have no numbers.
type statements struct {
	dialect Dialect
	table   string
	now     string // milliseconds since 1970, stable in a statement
}

func newStatements(d Dialect, table string) *statements {
	s := &statements{dialect: d, table: table}
	switch d {
	case PostgreSQL:
		// clock_timestamp is volatile, and an index cannot be searched by it.
		s.now = "(extract(epoch from statement_timestamp()) * 1000)::bigint"
	case SQLite:
		s.now = "cast(round((julianday('now') - 2440587.5) * 86400000) as integer)"
	case MySQL:
		// Not by now, which is of the session's zone, and twice the same in an hour of autumn.
		s.now = "timestampdiff(microsecond, '1970-01-01', utc_timestamp(3)) div 1000"
	}
	return s
}

var parameter = regexp.MustCompile(`\$\d+`)

// fill completes a statement: {table}, {now}, and the form of parameters.
func (s *statements) fill(q string) string {
	q = strings.NewReplacer("{table}", s.table, "{now}", s.now).Replace(q)
	if s.dialect == MySQL {
		q = parameter.ReplaceAllString(q, "?")
	}
	return q
}

// columns are those that a row is read by.
const columns = "seq, id, queue, grp, message, body, created_at, due_at, next_at, token, attempts, error"

// migration returns the statements that make the table and its indexes.
func (s *statements) migration() []string {
	name := s.table[strings.LastIndex(s.table, ".")+1:]
	seq, text, key, blob, tail := "bigserial PRIMARY KEY", "text", "varchar(255)", "bytea", ""
	switch s.dialect {
	case SQLite:
		seq, blob = "integer PRIMARY KEY AUTOINCREMENT", "blob"
	case MySQL:
		seq, text, key, blob = "bigint PRIMARY KEY AUTO_INCREMENT", "longtext", "varbinary(255)" /* text's comparison ignores spaces at the end */, "longblob"
		tail = " DEFAULT CHARACTER SET utf8mb4"
	}
	columns := fmt.Sprintf(`
	seq        %s,
	id         varchar(64) NOT NULL,
	state      smallint NOT NULL DEFAULT 0, -- 0: pending, 1: sent, 2: the clock of a schedule
	queue      %s NOT NULL,
	grp        %s NOT NULL DEFAULT '',
	unique_key %s, -- while pending
	message    %s NOT NULL, -- JSON: attributes, group, dedupe ID
	body       %s,
	created_at bigint NOT NULL, -- times are milliseconds since 1970 by the database's clock
	due_at     bigint NOT NULL DEFAULT 0,
	next_at    bigint NOT NULL DEFAULT 0, -- end of a lease or of a backoff
	token      varchar(64) NOT NULL DEFAULT '', -- of the lease
	attempts   integer NOT NULL DEFAULT 0,
	error      %s`, seq, key, key, key, text, blob, text)
	indexes := [][2]string{
		{name + "_due", "(state, due_at, seq)"},
		{name + "_grp", "(state, queue, grp, seq)"},
	}
	if s.dialect == MySQL { // which has no CREATE INDEX IF NOT EXISTS
		columns += fmt.Sprintf(",\n\tUNIQUE INDEX %s_key (queue, unique_key)", name)
		for _, i := range indexes {
			columns += fmt.Sprintf(",\n\tINDEX %s %s", i[0], i[1])
		}
		return []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s\n)%s", s.table, columns, tail)}
	}
	out := []string{
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s\n)", s.table, columns),
		fmt.Sprintf("CREATE UNIQUE INDEX IF NOT EXISTS %s_key ON %s (queue, unique_key)", name, s.table),
	}
	for _, i := range indexes {
		out = append(out, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s %s", i[0], s.table, i[1]))
	}
	return out
}

// insert writes n rows of seven parameters each: id, queue, group, unique key, message,
// body, delay in milliseconds. Rows without a delay are due at zero, whatever the clock
// does.
func (s *statements) insert(n int, onConflict string) string {
	var b strings.Builder
	b.WriteString("INSERT INTO {table} (id, queue, grp, unique_key, message, body, due_at, created_at) VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		p := i * 8
		fmt.Fprintf(&b, "($%d, $%d, $%d, $%d, $%d, $%d, %s, {now})", p+1, p+2, p+3, p+4, p+5, p+6, s.due(p+7))
	}
	b.WriteString(onConflict)
	return s.fill(b.String())
}

// due is the due_at of a row whose delay is parameter p. Parameter p+1 is the delay again.
func (s *statements) due(p int) string {
	if s.dialect == PostgreSQL {
		return fmt.Sprintf("CASE WHEN $%d::bigint > 0 THEN {now} + $%d::bigint ELSE 0 END", p, p+1)
	}
	return fmt.Sprintf("CASE WHEN $%d > 0 THEN {now} + $%d ELSE 0 END", p, p+1)
}

// insertUnique writes one row unless one with its key is pending; then it changes no row.
func (s *statements) insertUnique() string {
	if s.dialect == MySQL {
		return s.insert(1, " ON DUPLICATE KEY UPDATE seq = seq")
	}
	return s.insert(1, " ON CONFLICT (queue, unique_key) DO NOTHING")
}

// firstOf reads the ID of the pending row with a key. MySQL's transactions would see the row
// that was pending when they began; a lock has it read as it is.
func (s *statements) firstOf() string {
	lock := ""
	if s.dialect == MySQL {
		lock = " LOCK IN SHARE MODE"
	}
	return s.fill("SELECT id FROM {table} WHERE queue = $1 AND unique_key = $2" + lock)
}

// replace gives the pending row with a key another message and another time. It ends the
// row's lease, so that a relay that is sending the old message cannot mark the new one as
// sent.
func (s *statements) replace() string {
	return s.fill("UPDATE {table} SET id = $1, grp = $2, message = $3, body = $4, due_at = " + s.due(5) +
		", created_at = {now}, next_at = 0, token = '', attempts = 0, error = NULL WHERE queue = $7 AND unique_key = $8")
}

// take finds up to n rows that can be sent, in the order of their numbers, of the named
// number of queues, or of all if that is zero. Rows that were due from the start and rows
// that have become due are found in an index each, so that neither a long backlog nor many
// delayed rows are read through. A row of a group cannot be sent while an earlier one, due
// as well, is leased or backs off. The parameters, from first on, are the queues' names,
// twice.
//
// The caller makes sure that no two run concurrently: the second would not see that the
// first has leased the head of a group, and could take its tail.
func (s *statements) take(first, queues, n int) string {
	part := func(alias, due, order string, first int) string {
		only := ""
		if queues > 0 {
			only = " AND r.queue IN (" + parameters(first, queues) + ")"
		}
		return fmt.Sprintf(`SELECT seq FROM (SELECT r.seq FROM {table} r WHERE r.state = 0 AND %s AND r.next_at <= {now}%s
			AND (r.grp = '' OR NOT EXISTS (SELECT 1 FROM {table} e WHERE e.state = 0 AND e.queue = r.queue AND e.grp = r.grp
				AND e.seq < r.seq AND e.due_at <= {now} AND e.next_at > {now}))
			ORDER BY %s LIMIT %d) %s`, due, only, order, n, alias)
	}
	return s.fill(fmt.Sprintf("SELECT seq FROM (%s UNION ALL %s) u ORDER BY seq LIMIT %d",
		part("a", "r.due_at = 0", "r.seq", first),
		part("b", "r.due_at > 0 AND r.due_at <= {now}", "r.due_at, r.seq", first+queues), n))
}

// lease gives rows a lease: a token of the receive, which parameter 1 is, and of the row.
// The rows are a list of numbers or a query. The condition is looked at again, because a
// row may have been debounced in the meantime.
//
// As in all changes of rows by their numbers, state + 0 keeps the database from looking for
// them by the index of states: it would read through the backlog, and would choose to on a
// table that was never analyzed.
func (s *statements) lease(rows string, millis int64) string {
	token, in := "$1 || seq", "seq IN (%s)"
	switch s.dialect {
	case PostgreSQL:
		// An array is made once. PostgreSQL may run a subquery of IN for each row of the
		// table, and does on a table that was never analyzed.
		token, in = "$1::text || seq", "seq = ANY (ARRAY(%s))"
	case MySQL:
		token = "concat($1, seq)"
	}
	return s.fill(fmt.Sprintf(`UPDATE {table} SET token = %s, next_at = {now} + %d, attempts = attempts + 1
		WHERE state + 0 = 0 AND due_at + 0 <= {now} AND next_at <= {now} AND `+in, token, millis, rows))
}

// read reads rows by a condition.
func (s *statements) read(where string) string {
	return s.fill("SELECT " + columns + " FROM {table} WHERE " + where + " ORDER BY seq")
}

// parameters returns n parameters in a list, from first on.
func parameters(first, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(list, ", ")
}

// Changes of rows whose leases are held. The argument is a time in milliseconds, or an
// expression for one.
const (
	setSent     = "state = 1, due_at = {now}, unique_key = NULL, token = '', error = NULL"
	setReleased = "attempts = attempts - 1, token = '', next_at = {now} + %s"
	setRetried  = "token = '', next_at = {now} + %s"
	setExpiring = "token = ''" // comes back when its lease ends
	setExtended = "next_at = {now} + %s"
)

// held is the condition on rows whose leases have not ended; its parameters are their
// tokens, in PostgreSQL's case an array of them: a statement with hundreds of parameters
// takes it longer to parse and to plan than to carry out. A token belongs to one delivery
// of one row, so the two lists cannot match crosswise.
func (s *statements) held(seqs string, tokens int) string {
	const held = "state + 0 = 0 AND next_at > {now} AND "
	if s.dialect == PostgreSQL {
		return s.fill(fmt.Sprintf(held+"seq = ANY ('{%s}'::bigint[]) AND token = ANY ($1::text[])", seqs))
	}
	return s.fill(fmt.Sprintf(held+"seq IN (%s) AND token IN (%s)", seqs, parameters(1, tokens)))
}

// tokens returns the parameters of held.
func (s *statements) tokens(receipts []string) []any {
	if s.dialect == PostgreSQL {
		return []any{array(receipts)}
	}
	args := make([]any, len(receipts))
	for i, r := range receipts {
		args[i] = r
	}
	return args
}

// array returns strings as PostgreSQL writes an array of text.
func array(items []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		escapeItem.WriteString(&b, item) //nolint:errcheck // a builder takes all
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

var escapeItem = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// old finds up to n rows that were sent more than so many milliseconds ago. They are
// removed by their numbers, so that MySQL locks no gaps that inserts wait for.
func (s *statements) old(millis int64, n int) string {
	return s.fill(fmt.Sprintf("SELECT seq FROM {table} WHERE state = 1 AND due_at < {now} - %d ORDER BY due_at LIMIT %d", millis, n))
}

func (s *statements) remove(seqs string) string {
	return s.fill("DELETE FROM {table} WHERE state + 0 = 1 AND seq IN (" + seqs + ")")
}

// named finds the pending rows of the message with an ID. Like those that were sent, they are
// removed by their numbers.
func (s *statements) named() string {
	return s.fill("SELECT seq FROM {table} WHERE state = 0 AND id = $1")
}

// discard removes rows of the message with an ID that no relay is sending.
func (s *statements) discard(seqs string) string {
	return s.fill("DELETE FROM {table} WHERE state + 0 = 0 AND (token = '' OR next_at <= {now}) AND id = $1 AND seq IN (" + seqs + ")")
}

// count counts pending rows: those that can be taken or wait for their group, those that
// are leased, and those whose time has not come; and the age of the oldest that is due.
func (s *statements) count(queues int) string {
	only := ""
	if queues > 0 {
		only = " AND queue IN (" + parameters(1, queues) + ")"
	}
	return s.fill(`SELECT
		coalesce(sum(CASE WHEN due_at <= {now} AND next_at <= {now} THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN next_at > {now} AND token <> '' THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN due_at > {now} OR (next_at > {now} AND token = '') THEN 1 ELSE 0 END), 0),
		coalesce({now} - min(CASE WHEN due_at > {now} THEN NULL WHEN due_at > 0 THEN due_at ELSE created_at END), -1)
		FROM {table} WHERE state = 0` + only)
}

// backlog counts the pending rows of each queue: due, sending, delayed, retrying, failing,
// and the age of the oldest that is due.
func (s *statements) backlog() string {
	return s.fill(`SELECT queue,
		sum(CASE WHEN due_at <= {now} AND next_at <= {now} THEN 1 ELSE 0 END),
		sum(CASE WHEN due_at <= {now} AND next_at > {now} AND token <> '' THEN 1 ELSE 0 END),
		sum(CASE WHEN due_at > {now} THEN 1 ELSE 0 END),
		sum(CASE WHEN due_at <= {now} AND next_at > {now} AND token = '' THEN 1 ELSE 0 END),
		sum(CASE WHEN error IS NOT NULL THEN 1 ELSE 0 END),
		coalesce({now} - min(CASE WHEN due_at > {now} THEN NULL WHEN due_at > 0 THEN due_at ELSE created_at END), -1)
		FROM {table} WHERE state = 0 GROUP BY queue ORDER BY queue`)
}

// readClocks reads the rows of all schedules.
func (s *statements) readClocks() string {
	return s.fill("SELECT unique_key, due_at, attempts FROM {table} WHERE queue = '' AND state = 2 ORDER BY unique_key")
}

// insertClock writes the row of a schedule, unless it exists. It is due now: earlier times
// are not the schedule's.
func (s *statements) insertClock() string {
	tail := " ON CONFLICT (queue, unique_key) DO NOTHING"
	if s.dialect == MySQL {
		tail = " ON DUPLICATE KEY UPDATE seq = seq"
	}
	return s.fill("INSERT INTO {table} (id, state, queue, unique_key, message, due_at, created_at) VALUES ($1, 2, '', $2, $3, {now}, {now})" + tail)
}

// readClock reads the latest time of a schedule that was dealt with, and the database's
// clock.
func (s *statements) readClock() string {
	return s.fill("SELECT due_at, {now} FROM {table} WHERE queue = '' AND unique_key = $1 AND state = 2")
}

// moveClock moves the row of a schedule from one time to a later one, and counts messages.
func (s *statements) moveClock() string {
	n := "$2"
	if s.dialect == PostgreSQL {
		n = "$2::integer"
	}
	return s.fill("UPDATE {table} SET due_at = $1, attempts = attempts + " + n + " WHERE queue = '' AND unique_key = $3 AND state = 2 AND due_at = $4")
}

// noteError writes the error of a row's attempt, unless the row has another message by now.
func (s *statements) noteError(attempt int) string {
	return s.fill(fmt.Sprintf("UPDATE {table} SET error = $1, attempts = CASE WHEN attempts < %[1]d THEN %[1]d ELSE attempts END WHERE seq = $2 AND id = $3 AND state + 0 = 0", attempt))
}
