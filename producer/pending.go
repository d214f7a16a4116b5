package producer

// pending are the entries to be sent, in order. The lock of the dispatcher guards
// them.
type pending struct {
	entries []*entry
	bytes   int
}

func (p *pending) push(e *entry) {
	p.entries = append(p.entries, e)
	p.bytes += e.size
}

// prepend puts entries before all others. Its cost is linear in the length.
func (p *pending) prepend(front []*entry) {
	if len(front) == 0 {
		return
	}
	for _, e := range front {
		p.bytes += e.size
	}
	p.entries = append(front, p.entries...)
}

// cut removes the first n entries, whose bytes are subtracted already.
func (p *pending) cut(n int) {
	rest := copy(p.entries, p.entries[n:])
	clear(p.entries[rest:])
	p.entries = p.entries[:rest]
}
