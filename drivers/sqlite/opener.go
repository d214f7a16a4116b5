package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/queue"
)

const (
	// scheme is the scheme of the URLs that an Opener opens.
	scheme = "sqlite"
	// system is OpenTelemetry's messaging.system of its queues.
	system = "sluice_sqlite"
	// defaultQueue is the name of the queue if a URL has none.
	defaultQueue = "default"
)

// An Opener opens queues in SQLite files, by path or by URL; see the package
// comment. Sources and sinks of one file share its connections, which close with
// the last of them. The zero Opener is ready to use. Its methods may be
// called concurrently. It must not be copied.
type Opener struct {
	// Synchronous makes sends and settlements wait until they are on the disk, so that
	// a power cut undoes none. The parameter synchronous of a URL overrides it.
	Synchronous bool

	files files
}

var (
	_ drivers.Opener       = (*Opener)(nil)
	_ provision.Planner    = (*Opener)(nil)
	_ provision.Examiner   = (*Opener)(nil)
	_ provision.SpecOpener = (*Opener)(nil)
)

// Schemes returns "sqlite".
func (*Opener) Schemes() []string { return []string{scheme} }

// Source opens the named queue of the file at path for receiving and creates both
// if they do not exist. It applies c to a queue that exists.
func (o *Opener) Source(ctx context.Context, path, name string, c *Config) (*Source, error) {
	return o.source(ctx, place{path: path, queue: name, sync: o.Synchronous}, c)
}

// Sink opens the named queue of the file at path for sending and creates both if
// they do not exist. It applies c to a queue that exists.
func (o *Opener) Sink(ctx context.Context, path, name string, c *Config) (*Sink, error) {
	return o.sink(ctx, place{path: path, queue: name, sync: o.Synchronous}, c)
}

// OpenSource opens the queue that u names for receiving.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	p, c, err := parse(u, opts, o.Synchronous)
	if err != nil {
		return nil, err
	}
	s, err := o.source(ctx, p, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenSink opens the queue that u names for sending.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	p, c, err := parse(u, opts, o.Synchronous)
	if err != nil {
		return nil, err
	}
	s, err := o.sink(ctx, p, c)
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

// Plan returns the steps that make the file and the queue what s asks for. A
// process that opens the queue makes it too. Plan makes no file. See
// [provision.Planner].
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

// Examine reads the facts about the queue, without making the file or the queue.
// See [provision.Examiner].
func (o *Opener) Examine(ctx context.Context, u *url.URL) (*provision.State, error) {
	p, _, err := o.place(u)
	if err != nil {
		return nil, err
	}
	return p.Examine(ctx)
}

func (o *Opener) place(u *url.URL) (*embedded.Place, *embedded.Config, error) {
	at, c, err := parse(u, nil, o.Synchronous)
	if err != nil {
		return nil, nil, err
	}
	return &embedded.Place{
		Kind: scheme, Queue: at.queue, Classify: classify,
		Missing: func() bool {
			_, err := os.Stat(at.path)
			return errors.Is(err, fs.ErrNotExist)
		},
		Use: func(ctx context.Context, do func(e queue.Engine) error) error {
			f, err := o.files.get(ctx, at)
			if err != nil {
				return err
			}
			return errors.Join(do(f.engine), f.release())
		},
	}, (*embedded.Config)(c), nil
}

func (o *Opener) source(ctx context.Context, p place, c *Config) (*Source, error) {
	t, err := o.target(ctx, p)
	if err != nil {
		return nil, err
	}
	s, err := t.OpenSource(ctx, (*embedded.Config)(c))
	if err != nil {
		_ = t.Release() // the error of the opening is the one to report
		return nil, err
	}
	return &Source{s}, nil
}

func (o *Opener) sink(ctx context.Context, p place, c *Config) (*Sink, error) {
	t, err := o.target(ctx, p)
	if err != nil {
		return nil, err
	}
	s, err := t.OpenSink(ctx, (*embedded.Config)(c))
	if err != nil {
		_ = t.Release() // the error of the opening is the one to report
		return nil, err
	}
	return &Sink{s}, nil
}

// target opens the file, or shares it if it is open already. The caller releases
// the target.
func (o *Opener) target(ctx context.Context, p place) (embedded.Target, error) {
	if err := p.validate(); err != nil {
		return embedded.Target{}, err
	}
	f, err := o.files.get(ctx, p)
	if err != nil {
		code, remedy := classify(err)
		return embedded.Target{}, drivers.Wrap(ctx, code, p.queue, "open", err, remedy)
	}
	return embedded.Target{Engine: f.engine, Queue: p.queue, System: system, Classify: classify, Release: f.release}, nil
}
