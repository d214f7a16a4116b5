package producer

// group is a group of which messages are on their way, or wait to be tried
// again. Its later ones wait here, older than any of the group still pending.
//
// If a request has one message of a group at most ([drivers.Capabilities].
// MaxSendGroup), the group stays until no message of it waits: the next one to
// be sent is then pending, with its turn set, and the others are in wait.
type group struct {
	wait []*entry
	// failing is true while the first message of the group is tried again.
	failing bool
}

// grouped reports whether the order of an entry's group must be kept.
func (p *Producer) grouped(e *entry) bool { return p.groups != nil && e.msg.Group != "" }

// single reports whether a request has one message of a group at most.
func (p *Producer) single() bool { return p.caps.MaxSendGroup == 1 }

// heldBack reports whether an earlier message of the entry's call and group has
// failed for good. p.mu is held.
func (p *Producer) heldBack(e *entry) bool {
	return p.grouped(e) && e.call.failed[e.msg.Group]
}

// setAside puts an entry aside if messages of its group are on their way and it
// is not its turn. p.mu is held.
func (p *Producer) setAside(e *entry) bool {
	if !p.grouped(e) || e.turn {
		return false
	}
	g := p.groups[e.msg.Group]
	if g == nil {
		return false
	}
	g.wait = append(g.wait, e)
	if g.failing {
		p.move(e, true)
	}
	return true
}

// claim marks the group of an entry as being on its way. p.mu is held.
func (p *Producer) claim(e *entry) {
	if p.grouped(e) && p.groups[e.msg.Group] == nil {
		p.groups[e.msg.Group] = &group{}
	}
}

// unclaim lets the groups of a batch go on of which no message is tried again.
// p.mu is held.
func (p *Producer) unclaim(batch, again []*entry) {
	if p.groups == nil {
		return
	}
	stay := make(map[string]bool)
	for _, e := range again {
		stay[e.msg.Group] = true
	}
	var front []*entry
	for _, e := range batch {
		if !stay[e.msg.Group] {
			p.recovered(e)
			front = p.open(e, front)
		}
	}
	p.prepend(front)
}

// requeue puts entries before all others. Each is followed by the later ones of
// its group, unless these have to wait for the answer. p.mu is held.
func (p *Producer) requeue(again []*entry) {
	front := append(make([]*entry, 0, len(again)), again...)
	for _, e := range again {
		if p.single() {
			e.turn = true
		} else {
			front = p.open(e, front)
		}
	}
	p.prepend(front)
}

// open ends the claim on an entry's group and appends those that waited for it
// to front; only the next of them, which takes over the claim, if it has to be
// alone. p.mu is held.
func (p *Producer) open(e *entry, front []*entry) []*entry {
	if !p.grouped(e) {
		return front
	}
	g := p.groups[e.msg.Group]
	if g == nil {
		return front
	}
	if !p.single() || len(g.wait) == 0 {
		delete(p.groups, e.msg.Group)
		return append(front, g.wait...)
	}
	next := g.wait[0]
	g.wait[0] = nil
	g.wait = g.wait[1:]
	next.turn = true
	return append(front, next)
}

// pass gives an entry's turn, which it does not need any more, to the next of
// its group. p.mu is held, and take reads p.pending.
func (p *Producer) pass(e *entry) {
	if !e.turn {
		return
	}
	e.turn = false
	for _, next := range p.open(e, nil) {
		p.load += next.size
		p.pending = append(p.pending, next)
	}
}

func (p *Producer) prepend(front []*entry) {
	if len(front) == 0 {
		return
	}
	for _, e := range front {
		p.load += e.size
	}
	p.pending = append(front, p.pending...)
}
