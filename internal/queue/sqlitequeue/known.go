package sqlitequeue

// known is what an engine knows of its file. It holds as long as no other
// connection commits something, which SQLite counts.
type known struct {
	version int64 // SQLite's count
	timed   bool  // epoch is that of the file
	epoch   epoch
	queues  map[string]*knownQueue
}

// A knownQueue is a queue as it was read. If it is not checked, its version must be
// compared before it is used.
type knownQueue struct {
	row     *queueRow
	checked bool
	// oldest is a time before which none of the queue's messages was enqueued, if
	// aged is set. Removing messages leaves it as it is.
	oldest int64
	aged   bool
	// spare sequences after next are the queue's in the file and were not used.
	// stride is how many the file was asked for last.
	next, spare, stride int64
	// No message of the queue at or below the rowid passed waits in the order of
	// sending; written is what the file says. A message that is added has a higher
	// rowid than all that exist, so others' commits leave passed as it is.
	passed, written int64
}

// mostSpare bounds the sequences that a queue has in advance. They are lost when the
// engine is closed, or when another connection commits something.
const mostSpare = 64

// reserve takes n sequences that were not used, and returns the one before the first.
// ok is false if there are fewer.
func (k *knownQueue) reserve(n int64) (before int64, ok bool) {
	if k == nil || n > k.spare {
		return 0, false
	}
	before = k.next
	k.next, k.spare = k.next+n, k.spare-n
	return before, true
}

// forget takes nothing for granted any more.
func (k *known) forget() {
	k.timed = false
	for _, q := range k.queues {
		q.checked, q.aged = false, false
		q.spare, q.stride = 0, 0
	}
}

// undo is forget after a transaction that was undone: what was learned from its rows
// does not hold.
func (k *known) undo() {
	k.forget()
	for _, q := range k.queues {
		q.passed, q.written = 0, 0
	}
}

// pass notes that no message at or below the rowid waits in the order of sending.
func (k *knownQueue) pass(id int64) { k.passed = max(k.passed, id) }
