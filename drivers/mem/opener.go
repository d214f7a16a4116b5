package mem

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
	"github.com/sluice-go/sluice/internal/queue"
)

// scheme is the scheme of the URLs that an Opener opens, and system the
// messaging.system of OpenTelemetry for its queues.
const (
	scheme = "mem"
	system = "sluice_mem"
)

// An Opener keeps queues in memory and opens them by name or by URL; see the
// package comment. The zero Opener has no queues and is ready to use. Its methods
// may be called concurrently. It must not be copied.
type Opener struct {
	once   sync.Once
	engine *queue.Memory
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes returns "mem".
func (*Opener) Schemes() []string { return []string{scheme} }

// Source opens the named queue for receiving and creates it if it does not exist.
// It applies c to a queue that exists.
func (o *Opener) Source(ctx context.Context, name string, c *Config) (*Source, error) {
	t, err := o.target(name)
	if err != nil {
		return nil, err
	}
	s, err := t.OpenSource(ctx, (*embedded.Config)(c))
	if err != nil {
		return nil, err
	}
	return &Source{s}, nil
}

// Sink opens the named queue for sending and creates it if it does not exist. It
// applies c to a queue that exists.
func (o *Opener) Sink(ctx context.Context, name string, c *Config) (*Sink, error) {
	t, err := o.target(name)
	if err != nil {
		return nil, err
	}
	s, err := t.OpenSink(ctx, (*embedded.Config)(c))
	if err != nil {
		return nil, err
	}
	return &Sink{s}, nil
}

// OpenSource opens the queue that u names for receiving.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	name, c, err := parse(u, opts)
	if err != nil {
		return nil, err
	}
	s, err := o.Source(ctx, name, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenSink opens the queue that u names for sending.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	name, c, err := parse(u, opts)
	if err != nil {
		return nil, err
	}
	s, err := o.Sink(ctx, name, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close drops all queues with their messages. Their sources and sinks then return
// errors whose code is drivers.Closed. A second call returns nil.
func (o *Opener) Close() error { return o.queues().Close() }

func (o *Opener) queues() *queue.Memory {
	o.once.Do(func() { o.engine = queue.NewMemory(nil) })
	return o.engine
}

func (o *Opener) target(name string) (embedded.Target, error) {
	if name == "" {
		return embedded.Target{}, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("the queue has no name"),
			Remedy: "as in mem://orders"}
	}
	return embedded.Target{Engine: o.queues(), Queue: name, System: system}, nil
}

// parse reads mem://name and mem:name.
func parse(u *url.URL, opts *drivers.Options) (string, *Config, error) {
	if u.User != nil || u.Fragment != "" {
		return "", nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("a mem URL has the queue's name and parameters, and nothing else"),
			Remedy: "as in mem://orders?max_attempts=3"}
	}
	name := u.Host + u.Path
	if u.Opaque != "" {
		var err error
		if name, err = url.PathUnescape(u.Opaque); err != nil {
			return "", nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: err}
		}
	}
	c, err := embedded.FromURL(u, opts)
	return strings.Trim(name, "/"), (*Config)(c), err
}
