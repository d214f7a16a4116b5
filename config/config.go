package config

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/nearest"
	"github.com/sluice-go/sluice/outbox"
)

// A Config is a configuration that was loaded. It does not change, and may be
// used concurrently. The zero Config has no queues.
type Config struct {
	files   []string
	queues  []Queue // sorted by name
	service Service
	values  []Value

	schedules []outbox.Schedule // sorted by name
	store     *delayStore       // nil if there is none
	jobs      map[string]string // queues by kind
}

// Files are the files that were read, in order.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// Queues are the configured queues, sorted by name.
func (c *Config) Queues() []Queue { return slices.Clone(c.queues) }

// Service returns what the section service says. Without it, it is the zero Service.
func (c *Config) Service() Service {
	s := c.service
	s.Groups = maps.Clone(s.Groups)
	return s
}

// DelayStore returns the URL of the table for delays, schedules and the outbox, or "" if
// delay_store is not set.
func (c *Config) DelayStore() string {
	if c.store == nil {
		return ""
	}
	return c.store.url
}

// OpenTable opens the table that delay_store names, by [Options].OpenTable. The caller
// closes the database after all use of the table. Its error names the place of delay_store.
func (c *Config) OpenTable(ctx context.Context) (*outbox.Table, io.Closer, error) {
	if c.store == nil {
		return nil, nil, &drivers.Error{Code: drivers.Invalid, Op: "open the outbox's table", Err: errors.New("delay_store is not configured"),
			Remedy: "set delay_store in " + DefaultFile + ", such as postgres://host/db or sqlite://outbox.db"}
	}
	return c.store.table(ctx)
}

// Schedules are the configured schedules, sorted by name. A relay of the table of
// [Config.OpenTable] runs them.
func (c *Config) Schedules() []outbox.Schedule { return slices.Clone(c.schedules) }

// Jobs returns the queue of each kind of job, by kind, as the section jobs has them.
// service.OpenJobs sends by it.
func (c *Config) Jobs() map[string]string { return maps.Clone(c.jobs) }

// Names are the names of the configured queues, sorted.
func (c *Config) Names() []string {
	names := make([]string, len(c.queues))
	for i := range c.queues {
		names[i] = c.queues[i].Name
	}
	return names
}

// Values are the effective values with their origins, without secrets, sorted by
// queue.
func (c *Config) Values() []Value { return slices.Clone(c.values) }

// Queue finds a queue by its name, or by its URL. A string that begins with a
// scheme is a URL. The error is an [*UnknownQueueError].
func (c *Config) Queue(nameOrURL string) (*Queue, error) {
	if IsURL(nameOrURL) {
		q := &Queue{Name: Redact(nameOrURL), Source: nameOrURL, Sink: nameOrURL}
		if q.Name == nameOrURL { // else the table would hold a secret, or a name that opens nothing
			q.store = c.store
		}
		return q, nil
	}
	for i := range c.queues {
		if c.queues[i].Name == nameOrURL {
			q := c.queues[i]
			return &q, nil
		}
	}
	names := c.Names()
	return nil, &UnknownQueueError{Name: nameOrURL, Nearest: nearest.Of(nameOrURL, names), Known: names}
}

// OpenSource opens a queue by name or URL for receiving, with the driver of mux
// that its URL names.
func (c *Config) OpenSource(ctx context.Context, mux *drivers.Mux, nameOrURL string) (drivers.Source, error) {
	q, err := c.Queue(nameOrURL)
	if err != nil {
		return nil, err
	}
	return q.OpenSource(ctx, mux, nil)
}

// OpenSink opens a queue by name or URL for sending, with the driver of mux that
// its URL names. See [Queue.OpenSink] for delays.
func (c *Config) OpenSink(ctx context.Context, mux *drivers.Mux, nameOrURL string) (drivers.Sink, error) {
	q, err := c.Queue(nameOrURL)
	if err != nil {
		return nil, err
	}
	return q.OpenSink(ctx, mux, nil)
}
