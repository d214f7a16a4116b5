package console

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/lookonly"
)

const (
	// answerTime bounds a provider's answers to one question about one queue.
	answerTime = 15 * time.Second
	// detailsAge is how old a queue's details may be when they are shown.
	detailsAge = time.Minute
)

// A watched queue is one that the console shows. Its methods may be called concurrently.
type watched struct {
	queue  config.Queue
	target admin.Target
	c      *Config

	history history
	look    look

	opening sync.Mutex // one opens at a time
	mu      sync.Mutex
	source  drivers.Source // nil until it is opened
	fault   error          // of the latest count
	counted time.Time      // the latest count that succeeded
	asked   time.Time      // when the count began that fault is of
	cost    cost           // of a look at its letters

	asking  sync.Mutex // one asks for details at a time
	details details    // under mu
}

// details are what the provider says of a queue, and how that differs from the
// configuration.
type details struct {
	at      time.Time
	state   *provision.State
	changes []provision.Change
	err     error
}

// open returns the queue's source and opens it if it is not open.
func (w *watched) open(ctx context.Context) (drivers.Source, error) {
	w.opening.Lock()
	defer w.opening.Unlock()
	w.mu.Lock()
	s := w.source
	w.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := w.c.Open(ctx, w.queue.Name)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.source = s
	w.mu.Unlock()
	return s, nil
}

// count counts the queue's messages once.
func (w *watched) count(ctx context.Context) {
	if w.queue.Source == "" {
		return // it is only sent to
	}
	ctx, cancel := context.WithTimeout(lookonly.Context(ctx), answerTime)
	defer cancel()
	at := time.Now()
	depth, err := w.depth(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.Before(w.asked) {
		return // the count after a viewer's action began later
	}
	w.asked = at
	switch {
	case err == nil && w.fault != nil:
		w.c.Logger.Info("the queue can be counted again", "queue", w.queue.Name)
	case err != nil && w.fault == nil && !errors.Is(err, context.Canceled):
		w.c.Logger.Warn("the queue cannot be counted", "queue", w.queue.Name, "error", err)
	}
	w.fault = err
	if err == nil {
		w.counted = at
		w.history.add(sample{at, depth})
	}
}

func (w *watched) depth(ctx context.Context) (drivers.Depth, error) {
	s, err := w.open(ctx)
	if err != nil {
		return drivers.Depth{}, err
	}
	inspector, ok := s.(drivers.Inspector)
	if !ok {
		return drivers.Depth{}, &drivers.Error{Code: drivers.Unsupported, Queue: w.queue.Name, Op: "depth",
			Err: errors.New("the driver for " + s.Capabilities().System + " cannot count")}
	}
	return drivers.ReadDepth(ctx, inspector)
}

// status returns the latest count, when it was made, and the fault of the latest try.
// Without a count all numbers are unknown.
func (w *watched) status() (drivers.Depth, time.Time, error) {
	d := drivers.Depth{Visible: drivers.Unknown, InFlight: drivers.Unknown, Delayed: drivers.Unknown, DeadLetters: drivers.Unknown, OldestAge: -1}
	if all := w.history.all(); len(all) > 0 {
		d = all[len(all)-1].depth
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return d, w.counted, w.fault
}

// describe returns the queue's details, not older than detailsAge.
func (w *watched) describe(ctx context.Context) details {
	w.asking.Lock()
	defer w.asking.Unlock()
	w.mu.Lock()
	d := w.details
	w.mu.Unlock()
	if !d.at.IsZero() && time.Since(d.at) < detailsAge {
		return d
	}
	ctx, cancel := context.WithTimeout(lookonly.Context(ctx), answerTime)
	defer cancel()
	d = details{at: time.Now()}
	d.state, d.err = w.examine(ctx)
	if d.err == nil && w.target.Spec != nil {
		d.changes, d.err = admin.Plan(ctx, w.c.Mux, w.target)
	}
	if ctx.Err() != nil && errors.Is(d.err, context.Canceled) {
		return d // the viewer has gone, and the next one must ask anew
	}
	w.mu.Lock()
	w.details = d
	w.mu.Unlock()
	return d
}

func (w *watched) examine(ctx context.Context) (*provision.State, error) {
	opener, u, err := w.c.Mux.Opener(w.target.URL)
	if err != nil {
		return nil, err
	}
	examiner, ok := opener.(provision.Examiner)
	if !ok {
		return nil, nil //nolint:nilnil // the driver has nothing to say, and the page says so
	}
	return examiner.Examine(ctx, u)
}

// close closes the queue's source.
func (w *watched) close() error {
	w.mu.Lock()
	s := w.source
	w.source = nil
	w.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}
