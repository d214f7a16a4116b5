package producer

// buffers count the messages in memory: those that are tried again, and those that
// wait for them in their groups, in failed; the others in working. Each has the
// bounds of Config to itself, so that failing messages do not take the room of the
// others. The lock of the dispatcher guards them.
type buffers struct {
	maxMessages, maxBytes int

	working, failed buffer
	space           chan struct{} // closed when there is room again; nil if no one waits
}

// of returns the buffer that e is, or will be, counted in.
func (b *buffers) of(e *entry) *buffer {
	if e.aside {
		return &b.failed
	}
	return &b.working
}

// full reports whether a buffer has no room for a message of so many bytes. An
// empty buffer has room for any message.
func (b *buffers) full(one *buffer, bytes int) bool {
	return one.messages > 0 && (one.messages >= b.maxMessages || one.bytes+bytes > b.maxBytes)
}

// enter counts an entry that is new.
func (b *buffers) enter(e *entry) { b.of(e).add(e) }

// drop takes an entry out of its buffer.
func (b *buffers) drop(e *entry) {
	b.of(e).remove(e)
	b.wake()
}

// move counts an entry in failed, or in working again. An entry that finds no room
// in failed stays in working.
func (b *buffers) move(e *entry, aside bool) {
	if e.aside == aside || aside && b.full(&b.failed, e.size) {
		return
	}
	b.of(e).remove(e)
	e.aside = aside
	b.of(e).add(e)
	b.wake()
}

// wait returns a channel that is closed at the next change that makes room.
func (b *buffers) wait() <-chan struct{} {
	if b.space == nil {
		b.space = make(chan struct{})
	}
	return b.space
}

// wake wakes the callers that wait for room.
func (b *buffers) wake() {
	if b.space != nil {
		close(b.space)
		b.space = nil
	}
}
