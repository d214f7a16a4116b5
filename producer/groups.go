package producer

// groups keep the order of the groups of an ordered queue. A group that has a
// message in a request, or one that is tried again, is claimed, and its other
// messages wait in it.
//
// If a request has one message of a group at most (drivers.Capabilities.
// MaxSendGroup is 1), a group stays claimed until no message of it waits: the next
// one to be sent is then pending, with its turn set, and the others are in wait.
//
// Entries without a group pass through. The lock of the dispatcher guards the
// groups.
type groups struct {
	claimed map[string]*group
	single  bool // a request has one message of a group at most
	buffers *buffers
}

// failing reports whether a message of the named group is tried again.
func (gs *groups) failing(name string) bool {
	g := gs.claimed[name]
	return g != nil && g.failing
}

// setAside lets an entry wait in its group if the group is claimed and it is not
// the entry's turn. It reports whether the entry waits.
func (gs *groups) setAside(e *entry) bool {
	g := gs.claimed[e.group]
	if g == nil || e.turn {
		return false
	}
	g.wait = append(g.wait, e)
	if g.failing {
		gs.buffers.move(e, true)
	}
	return true
}

// claim claims the group of an entry.
func (gs *groups) claim(e *entry) {
	if e.group != "" && gs.claimed[e.group] == nil {
		gs.claimed[e.group] = &group{}
	}
}

// fail counts an entry that is tried again, and those that wait for it, as
// failing.
func (gs *groups) fail(e *entry) {
	gs.buffers.move(e, true)
	if g := gs.claimed[e.group]; g != nil {
		g.failing = true
		for _, w := range g.wait {
			gs.buffers.move(w, true)
		}
	}
}

// recover counts the entries that wait in e's group as working again.
func (gs *groups) recover(e *entry) {
	g := gs.claimed[e.group]
	if g == nil || !g.failing {
		return
	}
	g.failing = false
	for _, w := range g.wait {
		gs.buffers.move(w, false)
	}
}

// release opens the groups of a batch that have no message to retry, and
// returns the entries that may be sent now.
func (gs *groups) release(batch, again []*entry) (front []*entry) {
	if len(gs.claimed) == 0 {
		return nil
	}
	stay := make(map[string]bool)
	for _, e := range again {
		stay[e.group] = true
	}
	for _, e := range batch {
		if !stay[e.group] {
			gs.recover(e)
			front = gs.open(e, front)
		}
	}
	return front
}

// again returns the entries that are tried again, each followed by the later ones
// of its group, unless these must wait for its answer.
func (gs *groups) again(again []*entry) []*entry {
	front := append(make([]*entry, 0, len(again)), again...)
	for _, e := range again {
		if gs.single {
			e.turn = true
		} else {
			front = gs.open(e, front)
		}
	}
	return front
}

// open ends the claim on an entry's group and appends those that waited for it to
// front. If a request has one message of a group at most, only the next one is
// appended, which takes over the claim.
func (gs *groups) open(e *entry, front []*entry) []*entry {
	g := gs.claimed[e.group]
	if g == nil {
		return front
	}
	if !gs.single || len(g.wait) == 0 {
		delete(gs.claimed, e.group)
		return append(front, g.wait...)
	}
	next := g.wait[0]
	g.wait[0] = nil
	g.wait = g.wait[1:]
	next.turn = true
	return append(front, next)
}
