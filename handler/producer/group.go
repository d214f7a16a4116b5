package producer

// group is a group of which messages are on their way, or wait to be tried
// again. Its later ones wait here, older than any of the group still pending.
type group struct {
	wait []*entry
}

// grouped says whether the order of an entry's group must be kept.
func (p *Producer) grouped(e *entry) bool { return p.groups != nil && e.msg.Group != "" }

// heldBack says whether an earlier message of the entry's call and group has
// failed for good. p.mu is held.
func (p *Producer) heldBack(e *entry) bool {
	return p.grouped(e) && e.call.failed[e.msg.Group]
}

// setAside puts an entry aside whose group has messages on their way. p.mu is
// held.
func (p *Producer) setAside(e *entry) bool {
	if !p.grouped(e) {
		return false
	}
	g := p.groups[e.msg.Group]
	if g == nil {
		return false
	}
	g.wait = append(g.wait, e)
	return true
}

// claim marks the groups of a batch as being on their way. p.mu is held.
func (p *Producer) claim(batch []*entry) {
	for _, e := range batch {
		if p.grouped(e) && p.groups[e.msg.Group] == nil {
			p.groups[e.msg.Group] = &group{}
		}
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
			front = p.open(e, front)
		}
	}
	p.prepend(front)
}

// requeue puts entries before all others, each followed by the later ones of its
// group. p.mu is held.
func (p *Producer) requeue(again []*entry) {
	front := append(make([]*entry, 0, len(again)), again...)
	for _, e := range again {
		front = p.open(e, front)
	}
	p.prepend(front)
}

// open ends the claim on an entry's group and appends those that waited for it
// to front. p.mu is held.
func (p *Producer) open(e *entry, front []*entry) []*entry {
	if !p.grouped(e) {
		return front
	}
	g := p.groups[e.msg.Group]
	if g == nil {
		return front
	}
	delete(p.groups, e.msg.Group)
	return append(front, g.wait...)
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
