package sqlite

import (
	"context"
	"net/url"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
)

// Scheme is the scheme of the URLs that an [Opener] opens.
const Scheme = "sqlite"

// System is OpenTelemetry's messaging.system of these queues.
const System = "sluice_sqlite"

// DefaultQueue is the name of the queue where none is given.
const DefaultQueue = "default"

// NoDeadLetter is the [Config.DeadLetter] of a queue that has none.
const NoDeadLetter = embedded.NoDeadLetter

type (
	// Config says how a queue is to be. What is not said is left as it is on a
	// queue that exists; one that is made has the default.
	Config = embedded.Config
	// Source receives from a queue. Beside [drivers.Source] it implements
	// [drivers.Inspector], [drivers.Purger], [drivers.Redriver] and
	// [drivers.DeadLetters].
	Source = embedded.Source
	// Sink sends to a queue. It implements [drivers.Sink].
	Sink = embedded.Sink
)

// An Opener opens queues in SQLite files, by path or by URL; see the package
// comment. Sources and sinks of one file share its connections, which are closed
// with the last of them. The zero Opener is ready to use. Its methods may be
// called concurrently. It must not be copied.
type Opener struct {
	// Synchronous has every operation wait until the disk has it, so that a
	// power cut undoes nothing. A URL's parameter synchronous comes before it.
	Synchronous bool

	files files
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes returns [Scheme].
func (*Opener) Schemes() []string { return []string{Scheme} }

// Source opens the named queue of the file at path for receiving, and makes both
// where they do not exist. A nil config says nothing.
func (o *Opener) Source(ctx context.Context, path, name string, c *Config) (*Source, error) {
	return open(ctx, o, place{path: path, queue: name, sync: o.Synchronous}, c, embedded.Target.OpenSource)
}

// Sink opens the named queue of the file at path for sending, and makes both
// where they do not exist. A nil config says nothing.
func (o *Opener) Sink(ctx context.Context, path, name string, c *Config) (*Sink, error) {
	return open(ctx, o, place{path: path, queue: name, sync: o.Synchronous}, c, embedded.Target.OpenSink)
}

// OpenSource opens the queue that u names for receiving.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	p, c, err := o.parse(u, opts)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, o, p, c, embedded.Target.OpenSource)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenSink opens the queue that u names for sending.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	p, c, err := o.parse(u, opts)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, o, p, c, embedded.Target.OpenSink)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open opens the file, or shares it if it is open, and the queue in it.
func open[T any](ctx context.Context, o *Opener, p place, c *Config, openQueue func(embedded.Target, context.Context, *Config) (T, error)) (T, error) {
	var none T
	if err := p.validate(); err != nil {
		return none, err
	}
	f, err := o.files.get(ctx, p)
	if err != nil {
		code, remedy := classify(err)
		return none, drivers.Wrap(ctx, code, p.queue, "open", err, remedy)
	}
	s, err := openQueue(embedded.Target{
		Engine: f.engine, Queue: p.queue, System: System, Classify: classify, Release: f.release,
	}, ctx, c)
	if err != nil {
		_ = f.release() // the error of the opening is the one to report
		return none, err
	}
	return s, nil
}
