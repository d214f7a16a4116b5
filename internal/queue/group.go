package queue

// group is the messages of one group of an ordered queue.
type group struct {
	name        string
	first, last *entry
	// leased is how many of them are hidden because they were received. While
	// there are any the group is not ready.
	leased int
	// ready is the first entry while it represents the group on the queue's
	// ready timeline, and nil otherwise.
	ready *entry
	dirty bool
	spare *group
}

func (g *group) append(e *entry) {
	e.group, e.ahead = g, g.last
	if g.last == nil {
		g.first = e
	} else {
		g.last.behind = e
	}
	g.last = e
}

func (g *group) remove(e *entry) {
	if e.ahead == nil {
		g.first = e.behind
	} else {
		e.ahead.behind = e.behind
	}
	if e.behind == nil {
		g.last = e.ahead
	} else {
		e.behind.ahead = e.ahead
	}
	e.group, e.ahead, e.behind = nil, nil, nil
}

// readyAt is when the group's next messages became due: its first one's time,
// or that of the latest of those that were received before. They are at the
// front.
func (g *group) readyAt(lax bool) int64 {
	at := g.first.visibleAt
	if lax {
		return at // the others do not hold it up
	}
	for e := g.first; e != nil && e.delivery != 0; e = e.behind {
		at = max(at, e.visibleAt)
	}
	return at
}
