package consumer

import "sync"

// A probe follows the messages of a receive that a gate restricted. A nil probe
// follows nothing.
type probe struct {
	mu      sync.Mutex
	waiting int // not started
	open    int // not finished
	change  chan struct{}
}

func newProbe() *probe { return &probe{change: make(chan struct{}, 1)} }

// add adds the n messages of the receive.
func (p *probe) add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting += n
	p.open += n
}

// started notes that a message reached its handler.
func (p *probe) started() { p.note(1, 0) }

// finished notes that a message left its handler.
func (p *probe) finished() { p.note(0, 1) }

func (p *probe) note(started, finished int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.waiting -= started
	p.open -= finished
	p.mu.Unlock()
	select {
	case p.change <- struct{}{}:
	default:
	}
}

func (p *probe) left() (waiting, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting, p.open
}
