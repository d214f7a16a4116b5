package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/otel"
)

// A run is the one run of a service: what its queues share.
type run struct {
	*Service
	telemetry *Telemetry
	otel      *otel.Telemetry // nil if telemetry goes nowhere
	admin     *adminServer
	relayer   *relayer // nil if none runs
	stores    stores
	controls  controllers
	crews     []*crew
	counts    handler.Counter
	list      []handler.Observer
	observers *invoke.Observers // list, for middleware that takes one
}

// open sets up telemetry, the admin listener and the queues. close gives back what it
// took, also after an error.
func (r *run) open(ctx context.Context) error {
	o := &r.options
	r.stores.open, r.stores.log = o.OpenStore, o.Logger
	r.controls.run = r
	addr, profiles := r.adminAddress()
	var err error
	if r.telemetry, err = o.Telemetry(ctx, TelemetryConfig{Name: o.Name, Version: o.Version, Scraped: addr != NoAdmin}); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	if r.otel, err = r.telemetry.middleware(); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	if addr != NoAdmin {
		if r.admin, err = listen(ctx, addr, r.Health, r.telemetry.Metrics, profiles); err != nil {
			return err
		}
	}
	o.Logger.Info("starting", "service", o.Name, "version", o.Version, "queues", len(r.workers), "admin", r.admin.url())
	r.list = append([]handler.Observer{&r.counts}, o.Observers...)
	if r.otel != nil {
		r.list = append(r.list, r.otel)
	}
	r.observers = invoke.NewObservers(r.list, o.Logger)
	if err := (sharing{r}).checkFiles(); err != nil {
		return err
	}
	r.crews = crews(r.workers)
	for _, c := range r.crews {
		if err := c.open(ctx, r); err != nil {
			return err
		}
	}
	sharing{r}.warn()
	if err := r.controls.start(ctx); err != nil {
		return err
	}
	if o.RelayOnly || r.conf.Service().Relay && r.conf.DelayStore() != "" {
		r.relayer, err = newRelayer(ctx, r)
	}
	return err
}

// work runs all queues and the relay until ctx is done, one of them fails, or all queues are
// drained.
func (r *run) work(ctx context.Context) error {
	log := r.options.Logger
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var stopped time.Time
	told := make(chan struct{})
	untold := context.AfterFunc(ctx, func() {
		defer close(told)
		stopped = time.Now()
		log.Info("stopping: nothing more is received, and what was begun is finished; a second signal ends it at once", "at_most", max(r.options.DrainTimeout, 0))
	})
	var group sync.WaitGroup
	faults := make([]error, len(r.crews))
	for i, c := range r.crews {
		group.Go(func() {
			if faults[i] = c.work(ctx); faults[i] != nil {
				stop()
			}
		})
	}
	err := errors.Join(r.relay(ctx, stop, &group), errors.Join(faults...))
	if !untold() {
		<-told
	}
	n := r.counts.Counts()
	counts := []any{"received", n.Received, "acked", n.Acked + n.Dropped, "retried", n.Retried, "rejected", n.DeadLettered, "duplicates", n.Duplicates}
	if !stopped.IsZero() {
		counts = append(counts, "took", time.Since(stopped).Round(time.Millisecond))
	}
	if err != nil {
		log.Error("stopped before all was drained", append(counts, "error", err)...)
	} else {
		log.Info("drained", counts...)
	}
	return err
}

// relay runs the relay, if there is one, until ctx is done or the queues' consumers have
// ended, and waits for them.
func (r *run) relay(ctx context.Context, stop func(), queues *sync.WaitGroup) error {
	if r.relayer == nil {
		queues.Wait()
		return nil
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() {
		err := r.relayer.run(ctx)
		if err != nil {
			stop()
		}
		done <- err
	}()
	queues.Wait()
	if !r.options.RelayOnly {
		end()
	}
	return <-done
}

// discard closes the queues that were opened and are not to run.
func (r *run) discard() error {
	var faults []error
	for _, c := range r.crews {
		faults = append(faults, c.discard())
	}
	return errors.Join(faults...)
}

// close gives back what open took, in closeTime at most, whatever hangs.
func (r *run) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	var faults []error
	for _, w := range slices.Backward(r.workers) {
		faults = append(faults, w.close())
	}
	if n := r.relayer; n != nil {
		faults = append(faults, within(ctx, "close the delay store", n.close))
	}
	faults = append(faults, within(ctx, "close the control stores", r.controls.close))
	faults = append(faults, within(ctx, "close the idempotency stores", r.stores.close))
	if t := r.telemetry; t != nil && t.Close != nil {
		// Dashboards miss the rest. The work was done.
		if err := within(ctx, "close telemetry", func() error { return t.Close(ctx) }); err != nil {
			r.options.Logger.Warn("telemetry was not exported to the end", "error", err)
		}
	}
	return errors.Join(append(faults, r.admin.close(ctx))...)
}

// within returns f's error, or one that names what if f does not return before ctx is
// done. f then goes on.
func within(ctx context.Context, what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// where returns the place of a key of a queue in the configuration, in brackets, "" if it
// is not known.
func (r *run) where(q *config.Queue, key string) string {
	if !q.Configured {
		return ""
	}
	return placeOf(r.conf, "queues."+q.Name+"."+key)
}
