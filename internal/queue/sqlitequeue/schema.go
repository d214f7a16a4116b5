package sqlitequeue

// applicationID marks the file as ours, in SQLite's header.
const applicationID = 0x534c4351 // SLCQ

// schemaVersion is the version of the schema, in SQLite's user_version.
const schemaVersion = 4

// seqBits is how much of a message's rowid its sequence takes; the rest is its
// queue. So a queue's messages lie together in the order of sending, and that
// order needs no index.
const seqBits = 44

// smallBody is the most bytes of body and extra that are kept in a message's
// row. Receiving and extending rewrite the row, so larger ones are stored
// elsewhere.
const smallBody = 1000

// The schema. Times are in nanoseconds, most by the clock of the file (see
// epoch): visible_at, ready_at, enqueued_at, at, beat. Times that are reported
// and not compared are by the wall clock: created, sent_at, first_received,
// started.
//
// messages.via is how a message is received: see [via]. Those that wait in the order
// of sending are in no index, so that sending one writes a single page. No message at
// or below the rowid queues.passed waits so.
var schema = []string{
	`CREATE TABLE queues (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		name TEXT NOT NULL UNIQUE,
		created INTEGER NOT NULL,
		version INTEGER NOT NULL,
		sequence INTEGER NOT NULL,
		config TEXT NOT NULL,
		passed INTEGER NOT NULL DEFAULT 0)`,
	`CREATE TABLE messages (
		id INTEGER PRIMARY KEY,
		queue INTEGER NOT NULL,
		via INTEGER NOT NULL,
		visible_at INTEGER NOT NULL,
		receives INTEGER NOT NULL,
		first_received INTEGER NOT NULL,
		delivery INTEGER NOT NULL,
		enqueued_at INTEGER NOT NULL,
		large INTEGER NOT NULL,
		mid TEXT NOT NULL,
		grp TEXT NOT NULL,
		dedupe TEXT NOT NULL,
		source TEXT NOT NULL,
		attributes BLOB,
		body BLOB,
		extra BLOB,
		earlier INTEGER NOT NULL DEFAULT 0,
		sent_at INTEGER NOT NULL DEFAULT 0,
		exhausted INTEGER NOT NULL DEFAULT 0)`,
	dueIndex,
	ageIndex,
	`CREATE INDEX messages_group ON messages (queue, grp) WHERE via = 1`,
	`CREATE TABLE bodies (
		id INTEGER PRIMARY KEY,
		body BLOB,
		extra BLOB)`,
	`CREATE TABLE groups (
		queue INTEGER NOT NULL,
		name TEXT NOT NULL,
		ready_at INTEGER NOT NULL,
		head INTEGER NOT NULL,
		PRIMARY KEY (queue, name)) WITHOUT ROWID`,
	`CREATE INDEX groups_due ON groups (queue, ready_at, head)`,
	`CREATE TABLE seen (
		queue INTEGER NOT NULL,
		scope TEXT NOT NULL,
		dedupe TEXT NOT NULL,
		mid TEXT NOT NULL,
		sequence INTEGER NOT NULL,
		enqueued_at INTEGER NOT NULL,
		PRIMARY KEY (queue, scope, dedupe)) WITHOUT ROWID`,
	`CREATE INDEX seen_age ON seen (queue, enqueued_at)`,
	`CREATE TABLE attempts (
		queue INTEGER NOT NULL,
		attempt TEXT NOT NULL,
		at INTEGER NOT NULL,
		deliveries TEXT NOT NULL,
		PRIMARY KEY (queue, attempt)) WITHOUT ROWID`,
	`CREATE TABLE moves (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		handle TEXT NOT NULL UNIQUE,
		queue INTEGER NOT NULL,
		source TEXT NOT NULL,
		destination TEXT NOT NULL,
		rate INTEGER NOT NULL,
		status TEXT NOT NULL,
		moved INTEGER NOT NULL,
		to_move INTEGER NOT NULL,
		started INTEGER NOT NULL,
		failure TEXT NOT NULL,
		cursor INTEGER NOT NULL,
		last INTEGER NOT NULL,
		beat INTEGER NOT NULL)`,
	`CREATE INDEX moves_queue ON moves (queue)`,
	clockTable,
}

// SQLite uses these if a query has the same condition, word by word.
const (
	dueIndex = `CREATE INDEX messages_due ON messages (queue, via, visible_at) WHERE via <> 2`
	ageIndex = `CREATE INDEX messages_age ON messages (queue, enqueued_at) WHERE via <> 2`
)

const clockTable = `CREATE TABLE clock (
		id INTEGER PRIMARY KEY CHECK (id = 0),
		boot TEXT NOT NULL,
		uptime INTEGER NOT NULL,
		wall INTEGER NOT NULL,
		time INTEGER NOT NULL)`

// upgrades are what makes each version of the schema the next one, from version 1
// on.
var upgrades = [...][]string{
	{`ALTER TABLE messages ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0`},
	{
		`ALTER TABLE messages ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0`,
		`ALTER TABLE messages ADD COLUMN exhausted INTEGER NOT NULL DEFAULT 0`,
		// All times were by the wall clock, which the new one begins at.
		`UPDATE messages SET sent_at = enqueued_at`,
		clockTable,
	},
	{
		// A program of version 3 that has the file open fails from now on: it would not
		// keep passed.
		`ALTER TABLE messages RENAME COLUMN ordered TO via`,
		`DROP INDEX messages_due`,
		`DROP INDEX messages_age`,
		dueIndex,
		ageIndex,
		`ALTER TABLE queues ADD COLUMN passed INTEGER NOT NULL DEFAULT 0`,
		`UPDATE queues SET passed = coalesce((SELECT max(m.id) FROM messages m WHERE m.id > queues.id << 44 AND m.id < (queues.id + 1) << 44), 0)`,
	},
}
