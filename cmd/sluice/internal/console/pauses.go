package console

import (
	"context"
	"maps"
	"sync"

	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/middleware/control"
)

// Controls reads and changes what operators ask of the consumers of queues. Its methods
// may be called concurrently.
type Controls interface {
	// Has reports whether a queue can be paused.
	Has(queue string) bool
	// States returns the states of all queues that can be paused. With an error it
	// returns those that could be read.
	States(ctx context.Context) (map[string]control.State, error)
	// Change changes the state of a queue and returns the new one.
	Change(ctx context.Context, queue string, change func(*control.State)) (control.State, error)
}

// pauses are the states of queues, as they were read last. Its methods may be called
// concurrently.
type pauses struct {
	controls Controls // nil if no queue can be paused

	mu      sync.Mutex
	states  map[string]control.State
	fault   string
	changes int // by viewers
}

// A pause is the state of a queue as a page shows it.
type pause struct {
	// Can is true if the queue can be paused and resumed.
	Can    bool
	Paused bool
	// State says what was asked for, and by whom; empty if nothing was. Fault is why the
	// states could not be read.
	State, Fault string
}

// read reads all states. They are not kept if a viewer has changed one
// meanwhile: they may be older than the change.
func (p *pauses) read(ctx context.Context) {
	if p.controls == nil {
		return
	}
	ctx, cancel := context.WithTimeout(lookonly.Context(ctx), answerTime)
	defer cancel()
	p.mu.Lock()
	before := p.changes
	p.mu.Unlock()
	states, err := p.controls.States(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes != before {
		return
	}
	if p.fault = ""; err != nil {
		p.fault = problem(err)
	}
	if states != nil || err == nil {
		p.states = states
	}
}

// of returns the state of a queue.
func (p *pauses) of(queue string) pause {
	if p.controls == nil || !p.controls.Has(queue) {
		return pause{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.states[queue]
	return pause{Can: true, Paused: s.Paused, State: s.String(), Fault: p.fault}
}

// set pauses or resumes a queue.
func (p *pauses) set(ctx context.Context, queue string, paused bool, by control.Change) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := p.controls.Change(ctx, queue, func(s *control.State) { s.Paused, s.Pause = paused, by })
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states = maps.Clone(p.states)
	if p.states == nil {
		p.states = make(map[string]control.State)
	}
	p.states[queue] = s
	p.changes++
	return nil
}
