package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
)

const (
	// controlEvery is the pause between two reads of a control store, and controlTimeout
	// how long one may take: together less than the five seconds within which a queue is
	// paused.
	controlEvery   = 2 * time.Second
	controlTimeout = 2 * time.Second
	// controlStart is how long the first read may take, before anything is received.
	controlStart = 10 * time.Second
)

// A controller sets the valves of queues to the states of one control store. While the
// store can't be read, the valves stay as they are.
type controller struct {
	store    control.Store
	closer   io.Closer // nil if the store is another's
	log      *slog.Logger
	observer handler.Observer
	valves   map[string]*control.Valve // by queue

	end  context.CancelFunc
	task sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	fault error      // why the store can't be read, nil if it can
	since time.Time
}

// start reads the store for the first time and then again and again, until close. An
// error means that the queues' states are not known.
func (c *controller) start(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, controlStart)
	defer cancel()
	if err := within(first, "read the control store", func() error { return c.read(first) }); err != nil {
		return fmt.Errorf("%w (a queue may be paused there, so nothing is received without it; service.control names another store, or %q for none)", err, NoControl)
	}
	ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.task.Go(func() { c.follow(ctx) })
	return nil
}

// read reads the store and sets the valves.
func (c *controller) read(ctx context.Context) error {
	var states map[string]control.State
	var err error
	if p := invoke.DoApart(func() { states, err = control.Read(ctx, c.store, slices.Sorted(maps.Keys(c.valves))...) }); p != nil {
		err = fmt.Errorf("control store: %w", p)
	}
	faults := []error{err}
	for queue, state := range states {
		faults = append(faults, c.valves[queue].Set(state))
	}
	return errors.Join(faults...)
}

// follow reads the store until ctx is done. One read runs at a time, also if it outlasts
// its timeout.
func (c *controller) follow(ctx context.Context) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		asked, cancel := context.WithTimeout(ctx, controlTimeout)
		answer := make(chan error, 1)
		go func() { answer <- c.read(asked) }()
		select {
		case err := <-answer:
			c.note(ctx, err)
		case <-asked.Done():
			c.note(ctx, fmt.Errorf("control store %s: no answer within %v", c.store, controlTimeout))
			select {
			case err := <-answer:
				if err == nil {
					c.note(ctx, nil)
				}
			case <-ctx.Done():
			}
		}
		cancel()
	}
}

// note takes in the outcome of a read. The first of an outage is logged, and its end.
func (c *controller) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	before, since := c.fault, c.since
	c.fault = err
	if before == nil {
		c.since = now
	}
	c.mu.Unlock()
	switch {
	case err != nil && before == nil:
		c.log.Error("the control store can't be read: queues stay paused and limited as they were", "store", c.store.String(), "error", invoke.Safe(err))
		c.observer.Observe(handler.Event{Kind: handler.EventStoreDown, Store: "control store " + c.store.String(), Err: err})
	case err == nil && before != nil:
		c.log.Info("the control store can be read again", "store", c.store.String(), "after", now.Sub(since).Round(time.Millisecond))
		c.observer.Observe(handler.Event{Kind: handler.EventStoreUp, Store: "control store " + c.store.String(), Duration: now.Sub(since)})
	}
}

// trouble returns why the state of the queues may be out of date, "" if it is not.
func (c *controller) trouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault == nil {
		return ""
	}
	return fmt.Sprintf("as last known: the control store can't be read since %s: %s", c.since.UTC().Format(time.RFC3339), invoke.Text(c.fault))
}

// close stops reading and closes the store.
func (c *controller) close() error {
	if c.end != nil {
		c.end()
		c.task.Wait()
	}
	if c.closer == nil {
		return nil
	}
	if err := c.closer.Close(); err != nil {
		return fmt.Errorf("close the control store %s: %w", c.store, err)
	}
	return nil
}

// controllers are those of a service, by the URL of their store.
type controllers struct {
	run  *run
	list []*controller
	by   map[string]*controller
}

// valve returns the valve of a queue and the controller that sets it, nil if the queue has
// no control store. store is the queue's idempotency store, nil if it has none.
func (cs *controllers) valve(ctx context.Context, queue, storeURL string, store *opened.Store) (*control.Valve, *controller, error) {
	o := &cs.run.options
	url := cmp.Or(o.Control, cs.run.conf.Service().Control)
	if url == NoControl {
		return nil, nil, nil
	}
	c, ok := cs.by[cmp.Or(url, storeURL)]
	switch {
	case ok:
	case url != "" && o.OpenControl == nil:
		return nil, nil, usage("the configuration has service.control, and the program opens no control stores: set service.Options.OpenControl")
	case url != "":
		own, err := o.OpenControl(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		c = &controller{store: own, closer: own}
	default:
		if store == nil {
			return nil, nil, nil
		}
		beside := store.ControlStore()
		if beside == nil {
			return nil, nil, nil
		}
		c = &controller{store: beside}
	}
	if !ok {
		c.log, c.observer, c.valves = o.Logger, cs.run.observers, make(map[string]*control.Valve)
		if cs.by == nil {
			cs.by = make(map[string]*controller)
		}
		cs.by[cmp.Or(url, storeURL)] = c
		cs.list = append(cs.list, c)
	}
	v := control.New(queue, o.Logger)
	c.valves[queue] = v
	return v, c, nil
}

// start reads all stores for the first time.
func (cs *controllers) start(ctx context.Context) error {
	for _, c := range cs.list {
		if err := c.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close closes all.
func (cs *controllers) close() error {
	var faults []error
	for _, c := range slices.Backward(cs.list) {
		faults = append(faults, c.close())
	}
	return errors.Join(faults...)
}
