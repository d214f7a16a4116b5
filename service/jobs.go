package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/outbox"
	"github.com/sluice-go/sluice/producer"
)

// JobsOptions are those of [OpenJobs]. Mux is required.
type JobsOptions struct {
	// Mux opens the queues.
	Mux *drivers.Mux

	// Queue is the configured queue of the kinds that the configuration's section jobs
	// does not name. Empty refuses such kinds.
	Queue string

	// Codec encodes the jobs. Nil means [handler.JSON].
	Codec handler.Codec

	// Prepare functions are called on each message before it is sent or written, as those of
	// producer.Config are: they inject a trace, for example.
	Prepare []func(ctx context.Context, m *handler.Message) error

	// Logger logs retries and overload. Nil means slog.Default().
	Logger *slog.Logger
}

// Jobs is a client that sends each kind of job to its queue of the configuration. Make one
// with [OpenJobs]. Its methods may be called concurrently.
type Jobs struct {
	*job.Client
	close []func() error
}

// OpenJobs opens the queues that the section jobs of conf names, and returns the client of
// their jobs. If conf has a delay_store, delays of any length, unique and debounced jobs and
// jobs in a transaction (job.Options.Tx) go by its table; a relay sends them. The caller
// closes the client.
func OpenJobs(ctx context.Context, conf *config.Config, o *JobsOptions) (*Jobs, error) {
	d := setting.Copy(o)
	d.Logger = invoke.Logger(d.Logger)
	if err := errors.Join(
		setting.Refuse(conf == nil, "the configuration is nil"),
		setting.Refuse(d.Mux == nil, "Mux is nil: it opens the queues"),
		setting.NotNil("Prepare", d.Prepare),
	); err != nil {
		return nil, usage("service: jobs: %w", err)
	}
	js := &Jobs{}
	client, err := js.open(ctx, conf, &d)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("service: jobs: %w", err), js.Close())
	}
	js.Client = client
	return js, nil
}

func (js *Jobs) open(ctx context.Context, conf *config.Config, o *JobsOptions) (*job.Client, error) {
	kinds := conf.Jobs()
	names := slices.Collect(maps.Values(kinds))
	if o.Queue != "" {
		names = append(names, o.Queue)
	}
	slices.Sort(names)
	senders := make(map[string]job.Sender)
	var table *outbox.Table
	if conf.DelayStore() != "" {
		t, db, err := conf.OpenTable(ctx)
		if err != nil {
			return nil, err
		}
		js.close = append(js.close, db.Close)
		table = t
	}
	for _, name := range slices.Compact(names) {
		p, err := OpenProducer(ctx, conf, o.Mux, name, &producer.Config{Prepare: o.Prepare, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		js.close = append(js.close, p.Close)
		senders[name] = p
		if table != nil {
			senders[name] = &jobTable{Producer: p, table: table, queue: name, prepare: o.Prepare}
		}
	}
	c := &job.Config{Codec: o.Codec, Queues: make(map[string]job.Sender, len(kinds))}
	for kind, name := range kinds {
		c.Queues[kind] = senders[name]
	}
	if own := senders[o.Queue]; own != nil {
		return job.NewClient(own, c)
	}
	return job.NewClient(nil, c)
}

// Close sends what is buffered, and closes the queues and the table. The client must not be
// used any more.
func (js *Jobs) Close() error {
	var faults []error
	for _, f := range slices.Backward(js.close) {
		faults = append(faults, f())
	}
	js.close = nil
	return errors.Join(faults...)
}
