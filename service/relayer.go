package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/producer"
)

// relayDrain is the longest that a relay drains: an attempt to send a row is short, and the
// row is safe.
const relayDrain = 5 * time.Second

// A relayer runs the relay of the configuration's table, and its schedules.
type relayer struct {
	relay *outbox.Relay
	db    io.Closer
	watch func() error // ends the watching of the table's depth
}

// newRelayer opens the table and makes its relay. Nothing runs yet.
func newRelayer(ctx context.Context, r *run) (made *relayer, err error) {
	table, db, err := r.conf.OpenTable(ctx)
	if drivers.CodeOf(err) == drivers.Invalid { // the URL is wrong, or the program cannot open it
		return nil, &usageError{err}
	}
	if err != nil {
		return nil, err
	}
	n := &relayer{db: db, watch: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := table.Check(ctx); err != nil {
		return nil, fmt.Errorf("delay_store%s: %w", placeOf(r.conf, "delay_store"), err)
	}
	source, err := table.Source(nil)
	if err != nil {
		return nil, err
	}
	o := &r.options
	c := &outbox.RelayConfig{
		Open: func(ctx context.Context, queue string) (drivers.Sink, error) { return openTraced(ctx, r, queue) },
		Consumer: &consumer.Config{
			DrainTimeout: min(o.DrainTimeout, relayDrain), StopTimeout: o.StopTimeout, Logger: o.Logger, QuietStop: true,
		},
		Producer:  &producer.Config{Logger: o.Logger},
		Schedules: r.conf.Schedules(), Logger: o.Logger,
	}
	if r.otel != nil {
		c.Telemetry = r.otel.Middleware()
		c.Consumer.Observers = []handler.Observer{r.otel}
		r.otel.Expect(origin(source.Capabilities()))
		n.watch, err = WatchDepth(r.otel, source)
		if err != nil {
			return nil, err
		}
	}
	if n.relay, err = outbox.NewRelay(table, c); err != nil {
		return nil, usage("%w", err)
	}
	o.Logger.Info("relaying", "table", table.String(), "schedules", len(c.Schedules))
	return n, nil
}

// run relays until ctx is done.
func (n *relayer) run(ctx context.Context) error {
	if err := n.relay.Run(ctx); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// close gives back what newRelayer took.
func (n *relayer) close() error { return errors.Join(n.watch(), n.db.Close()) }

// openTraced opens a queue for a relay. Requests that send have spans and metrics if
// telemetry goes anywhere.
func openTraced(ctx context.Context, r *run, queue string) (drivers.Sink, error) {
	q, err := r.conf.Queue(queue)
	if err != nil {
		return nil, err
	}
	sink, err := q.OpenSink(ctx, r.options.Mux, r.options.Logger)
	if err != nil || r.otel == nil {
		return sink, err
	}
	caps := sink.Capabilities()
	return &tracedSink{Sink: sink, hook: r.otel.Send(handler.Origin{Queue: caps.Queue, System: caps.System, Server: caps.Server})}, nil
}

// placeOf returns the place of a key in the configuration, in brackets, "" if it is not
// known.
func placeOf(conf *config.Config, path string) string {
	for _, v := range conf.Values() {
		if text := v.Origin.String(); text != "" && (v.Path == path || len(v.Path) > len(path) && v.Path[:len(path)+1] == path+".") {
			return " (" + text + ")"
		}
	}
	return ""
}
