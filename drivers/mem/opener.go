package mem

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
	"github.com/sluice-go/sluice/drivers/provision"
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

var (
	_ drivers.Opener       = (*Opener)(nil)
	_ provision.Planner    = (*Opener)(nil)
	_ provision.Examiner   = (*Opener)(nil)
	_ provision.SpecOpener = (*Opener)(nil)
)

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

// WithSpec returns u with the parameters that s asks for. See
// [provision.SpecOpener].
func (o *Opener) WithSpec(u *url.URL, s *provision.Spec) (*url.URL, error) {
	return embedded.WithSpec(u, s)
}

// Plan returns the steps that make the queue what s asks for. A process that opens
// the queue makes it too. See [provision.Planner].
func (o *Opener) Plan(ctx context.Context, u *url.URL, s *provision.Spec) (*provision.Plan, error) {
	u, err := embedded.WithSpec(u, s)
	if err != nil {
		return nil, err
	}
	p, c, err := o.place(u)
	if err != nil {
		return nil, err
	}
	return p.Plan(ctx, c)
}

// Examine reads the facts about the queue, without making it. See
// [provision.Examiner].
func (o *Opener) Examine(ctx context.Context, u *url.URL) (*provision.State, error) {
	p, _, err := o.place(u)
	if err != nil {
		return nil, err
	}
	return p.Examine(ctx)
}

func (o *Opener) place(u *url.URL) (*embedded.Place, *embedded.Config, error) {
	name, c, err := parse(u, nil)
	if err != nil {
		return nil, nil, err
	}
	if _, err := o.target(name); err != nil {
		return nil, nil, err
	}
	return &embedded.Place{Kind: scheme, Queue: name, Use: func(_ context.Context, do func(e queue.Engine) error) error { return do(o.queues()) }}, (*embedded.Config)(c), nil
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
		return "", nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: errors.New("a mem URL has only the queue's name and parameters"),
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
