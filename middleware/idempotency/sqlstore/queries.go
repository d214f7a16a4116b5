package sqlstore

import "strings"

// queries are the statements of one dialect on one table. Both dialects number
// their parameters ($1) and know ON CONFLICT; they differ in the clock and in
// the types.
type queries struct {
	migrate                                              []string
	claim, look, renew, complete, release, cleanup, mark string
}

// graceMillis keeps an expired claim for its owner's late mark, as long as
// nobody takes it over.
const graceMillis = "60000"

func newQueries(d Dialect, table string) queries {
	now := "(extract(epoch from clock_timestamp()) * 1000)::bigint"
	blob, skip := "bytea", "FOR UPDATE SKIP LOCKED"
	if d == SQLite {
		now = "cast(unixepoch('subsec') * 1000 as integer)"
		blob, skip = "blob", ""
	}
	fill := strings.NewReplacer("{table}", table, "{index}", index(table), "{now}", now, "{blob}", blob,
		"{grace}", graceMillis, "{skip}", skip).Replace
	return queries{
		migrate: []string{
			fill(`CREATE TABLE IF NOT EXISTS {table} (
				key        text    NOT NULL PRIMARY KEY,
				token      text    NOT NULL,
				done       boolean NOT NULL,
				expires_at bigint  NOT NULL, -- milliseconds since 1970, by the database's clock
				result     {blob}
			)`),
			fill(`CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)`),
		},
		claim: fill(`INSERT INTO {table} AS t (key, token, done, expires_at) VALUES ($1, $2, false, {now} + $3)
			ON CONFLICT (key) DO UPDATE SET token = excluded.token, done = false,
				expires_at = excluded.expires_at, result = NULL
			WHERE t.expires_at <= {now} OR (t.token = excluded.token AND NOT t.done)`),
		look:  fill(`SELECT done, expires_at - {now}, result FROM {table} WHERE key = $1`),
		renew: fill(`UPDATE {table} SET expires_at = {now} + $3 WHERE key = $1 AND token = $2 AND NOT done`),
		complete: fill(`UPDATE {table} SET expires_at = CASE WHEN done THEN expires_at ELSE {now} + $3 END,
				result = CASE WHEN done THEN result ELSE $4 END, done = true
			WHERE key = $1 AND token = $2`),
		release: fill(`DELETE FROM {table} WHERE key = $1 AND token = $2 AND NOT done`),
		// The outer condition is looked at again for a row that was claimed or
		// marked while the statement waited for it. Rows that are being claimed
		// are not waited for at all.
		cleanup: fill(`DELETE FROM {table} WHERE expires_at < {now} - {grace} AND key IN
			(SELECT key FROM {table} WHERE expires_at < {now} - {grace} ORDER BY expires_at LIMIT $1 {skip})`),
		// mark is the transactional form's: the key is done immediately, and seen to
		// be when the transaction commits.
		mark: fill(`INSERT INTO {table} AS t (key, token, done, expires_at) VALUES ($1, $2, true, {now} + $3)
			ON CONFLICT (key) DO UPDATE SET token = excluded.token, done = true,
				expires_at = excluded.expires_at, result = NULL
			WHERE t.expires_at <= {now}`),
	}
}
