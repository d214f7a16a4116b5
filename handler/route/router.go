package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
)

// Unknown is the label of messages whose kind was not added.
const Unknown = "unknown"

// ErrKind is in the error of a message that is postponed or rejected because no
// handler was added for its kind. Find it with errors.Is.
var ErrKind = errors.New("no handler for this kind")

// Config configures a [Router]. The zero Config has the defaults.
type Config struct {
	// Kind returns a message's kind, "" if it has none. The router calls it
	// concurrently, once a message. Nil means the attribute "type".
	Kind func(m *handler.Message) string

	// Grace is how long a message of an unknown kind is postponed before it is
	// rejected. Zero means 10 minutes. A negative Grace rejects it immediately.
	// It should be longer than a deploy takes.
	Grace time.Duration

	// Logger logs unknown kinds, once a minute. Nil means slog.Default().
	Logger *slog.Logger
}

// Options configures one kind. The zero Options adds nothing.
type Options struct {
	// Middleware is around the kind's handler. The first is the outermost.
	Middleware []handler.Middleware

	// Timeout is how long the kind's handler may run before its context ends
	// with the cause context.DeadlineExceeded. Zero means no limit of the
	// router's own. It is inside Middleware.
	Timeout time.Duration
}

// A Router is a [handler.Handler] that calls the handler of a message's kind.
// Make one with [New]. Its methods may be called concurrently.
type Router struct {
	kind    func(m *handler.Message) string
	grace   time.Duration
	strange strangers

	mu     sync.Mutex // of those who add
	routes atomic.Pointer[map[string]handler.Handler]
	gates  []handler.Gate
}

var _ handler.Handler = (*Router)(nil)

// New returns a router without kinds. A nil config has the defaults.
func New(config *Config) (*Router, error) {
	var c Config
	if config != nil {
		c = *config
	}
	if c.Kind == nil {
		c.Kind = func(m *handler.Message) string { return m.Attribute(attribute.Kind) }
	}
	r := &Router{kind: c.Kind, grace: cmp.Or(c.Grace, 10*time.Minute)}
	r.strange.log = invoke.Logger(c.Logger)
	r.routes.Store(&map[string]handler.Handler{})
	return r, nil
}

// Add has h handle the messages of a kind. Nil options add nothing. Add returns an
// error if the kind is empty or was added before, if h is nil or can't work as it
// was built, and if an option is invalid. Kinds can be added while messages are
// handled.
func (r *Router) Add(kind string, h handler.Handler, options *Options) error {
	var o Options
	if options != nil {
		o = *options
	}
	switch {
	case kind == "":
		return errors.New("route: the kind is empty")
	case o.Timeout < 0:
		return fmt.Errorf("route: kind %q: Timeout is %v: it must not be negative", kind, o.Timeout)
	}
	if err := handler.Check(h); err != nil {
		return fmt.Errorf("route: kind %q: %w", kind, err)
	}
	if o.Timeout > 0 {
		h = &limited{next: h, timeout: o.Timeout}
	}
	h = handler.Chain(h, o.Middleware...)
	if err := handler.Check(h); err != nil {
		return fmt.Errorf("route: kind %q: %w", kind, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	routes := *r.routes.Load()
	if _, ok := routes[kind]; ok {
		return fmt.Errorf("route: kind %q was added twice", kind)
	}
	routes = maps.Clone(routes)
	routes[kind] = h
	r.routes.Store(&routes)
	r.gates = append(r.gates, handler.GatesOf(o.Middleware...)...)
	return nil
}

// Kinds returns the kinds that were added, sorted.
func (r *Router) Kinds() []string {
	return slices.Sorted(maps.Keys(*r.routes.Load()))
}

// Gates returns the gates that the kinds' middleware offers, as
// [handler.GatesOf] does. Give them to the runtime after the last [Router.Add]:
// one that is closed holds back receiving for all kinds.
func (r *Router) Gates() []handler.Gate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.gates)
}

// Label returns the message's kind if it was added, and [Unknown] otherwise: a
// value for a metric's label, since a sender can't make new ones.
func (r *Router) Label(m *handler.Message) string {
	kind := r.kind(m)
	if _, ok := (*r.routes.Load())[kind]; ok {
		return kind
	}
	return Unknown
}

// Handle calls the handler of the message's kind and returns its verdict. It
// postpones a message whose kind was not added, and rejects it when the grace
// period is over; both errors have [ErrKind] in them.
func (r *Router) Handle(ctx context.Context, m *handler.Message) error {
	kind := r.kind(m)
	if h, ok := (*r.routes.Load())[kind]; ok {
		return h.Handle(ctx, m)
	}
	return r.unknown(m, kind, time.Now())
}

// unknown is apart from Handle, so that a message of a known kind allocates
// nothing.
//
//go:noinline
func (r *Router) unknown(m *handler.Message, kind string, now time.Time) error {
	err := error(&kindError{kind})
	if r.grace < 0 {
		return handler.Reject(err)
	}
	left := r.grace - r.strange.age(m, kind, now)
	if left <= 0 {
		return handler.Reject(err)
	}
	r.strange.report(m, kind, left, now)
	return handler.Postpone(min(left, interval(r.grace)), err)
}

// interval is how long a message of an unknown kind is postponed at a time: short
// enough that it is rejected soon after its grace period, and long enough that
// it costs little until then.
func interval(grace time.Duration) time.Duration {
	return min(max(grace/20, 100*time.Millisecond), 30*time.Second)
}

type kindError struct{ kind string }

func (e *kindError) Error() string {
	if e.kind == "" {
		return "no handler for a message without a kind"
	}
	return fmt.Sprintf("no handler for kind %.100q", e.kind)
}

// Is reports whether target is [ErrKind].
func (e *kindError) Is(target error) bool { return target == ErrKind }
