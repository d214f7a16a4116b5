package producer

import "context"

// buffer counts messages and their bytes.
type buffer struct{ messages, bytes int }

func (b *buffer) add(e *entry)    { b.messages++; b.bytes += e.size }
func (b *buffer) remove(e *entry) { b.messages--; b.bytes -= e.size }

// full reports whether there is no room for a message of so many bytes. An empty
// buffer has room for any.
func (p *Producer) full(b *buffer, bytes int) bool {
	return b.messages > 0 && (b.messages >= p.cfg.MaxBuffered || b.bytes+bytes > p.cfg.MaxBufferedBytes)
}

// Messages that are tried again, and those that wait for them in their groups,
// are counted in p.failed, the others in p.working. Each has the bounds of Config
// to itself: what fails does not take the room of what works.

// bufferOf is the buffer that an entry is, or will be, counted in. p.mu is held.
func (p *Producer) bufferOf(e *entry) *buffer {
	if e.aside {
		return &p.failed
	}
	return &p.working
}

// enter counts an entry that is new, in the buffer that it belongs to. p.mu is
// held.
func (p *Producer) enter(e *entry) { p.bufferOf(e).add(e) }

// drop takes an entry out of its buffer. p.mu is held.
func (p *Producer) drop(e *entry) {
	p.bufferOf(e).remove(e)
	p.freed()
}

// freed wakes those who wait for room. p.mu is held.
func (p *Producer) freed() {
	if p.space != nil {
		close(p.space)
		p.space = nil
	}
}

// move counts an entry aside, or no longer so. One that finds no room aside stays
// where it is. p.mu is held.
func (p *Producer) move(e *entry, aside bool) {
	if e.aside == aside || aside && p.full(&p.failed, e.size) {
		return
	}
	p.bufferOf(e).remove(e)
	e.aside = aside
	p.bufferOf(e).add(e)
	p.freed()
}

// fails counts an entry that is tried again, and what waits for it, aside. p.mu
// is held.
func (p *Producer) fails(e *entry) {
	p.move(e, true)
	if !p.grouped(e) {
		return
	}
	if g := p.groups[e.msg.Group]; g != nil {
		g.failing = true
		for _, w := range g.wait {
			p.move(w, true)
		}
	}
}

// recovered counts what waits in an entry's group as working again. p.mu is held.
func (p *Producer) recovered(e *entry) {
	if !p.grouped(e) {
		return
	}
	g := p.groups[e.msg.Group]
	if g == nil || !g.failing {
		return
	}
	g.failing = false
	for _, w := range g.wait {
		p.move(w, false)
	}
}

// room waits until there is room for an entry. p.mu is held.
func (p *Producer) room(ctx context.Context, e *entry) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.aside = false
		if p.grouped(e) {
			g := p.groups[e.msg.Group]
			e.aside = g != nil && g.failing
		}
		if !p.full(p.bufferOf(e), e.size) {
			return nil
		}
		// What waits for company would wait for this caller.
		p.flush()
		if p.space == nil {
			p.space = make(chan struct{})
		}
		space := p.space
		p.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
		}
		p.mu.Lock()
	}
}
