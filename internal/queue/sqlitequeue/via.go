package sqlitequeue

// via is how a message is received.
type via int64

const (
	// viaTime is by the index on the visibility time.
	viaTime via = 0
	// viaGroup is through the table of groups, which has the time at which the next
	// messages of each group become available. The message is of a group, in a queue
	// that keeps order.
	viaGroup via = 1
	// viaOrder is in the order of sending. The message was never received and had no
	// delay, so that it became due, and gets too old, after all those with a lower
	// rowid that are received in this way.
	viaOrder via = 2
)
