package producer_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// hostile is an error each of whose methods panics.
type hostile struct{}

func (*hostile) Error() string   { panic("Error") }
func (*hostile) Unwrap() error   { panic("Unwrap") }
func (*hostile) Is(error) bool   { panic("Is") }
func (*hostile) As(any) bool     { panic("As") }
func (*hostile) Retryable() bool { panic("Retryable") }

// badLogger panics, and looks whether the producer can be used meanwhile.
type badLogger struct {
	slog.Handler
	use func()
}

func (b badLogger) Handle(context.Context, slog.Record) error {
	if b.use != nil {
		b.use()
	}
	panic("logger")
}

type sendHook = func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error

// Whatever a hook does, the next message is sent, and the process lives.
func TestHooksThatPanicFailTheirMessagesOnly(t *testing.T) {
	bad := func(m *handler.Message) bool { return string(m.Body) == "bad" }
	prepare := func(f func() error) *producer.Config {
		return &producer.Config{Prepare: []func(context.Context, *handler.Message) error{func(_ context.Context, m *handler.Message) error {
			if bad(m) {
				return f()
			}
			return nil
		}}}
	}
	send := func(f sendHook) *producer.Config {
		return &producer.Config{Send: func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
			if bad(ms[0]) {
				return f(ctx, ms, send)
			}
			return send(ctx, ms)
		}}
	}
	for _, c := range []struct {
		name string
		cfg  *producer.Config
		sent bool // though the hook failed
	}{
		{"Prepare panics", prepare(func() error { panic("no") }), false},
		{"Prepare panics with a typed nil", prepare(func() error { panic((*hostile)(nil)) }), false},
		{"Prepare returns a hostile error", prepare(func() error { return new(hostile) }), false},
		{"Prepare returns a typed nil", prepare(func() error { return (*hostile)(nil) }), false},
		{"Send panics", send(func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error {
			panic("no")
		}), false},
		{"Send ends its goroutine", send(func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error {
			runtime.Goexit()
			return nil
		}), false},
		{"Send panics after it has sent", send(func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
			send(ctx, ms)
			panic("no")
		}), true},
		{"Send returns hostile errors", func() *producer.Config {
			cfg := send(func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error {
				return []error{new(hostile)}
			})
			cfg.RetryFor = time.Second
			return cfg
		}(), false},
		{"the logger panics", func() *producer.Config {
			cfg := send(func(context.Context, []*handler.Message, func(context.Context, []*handler.Message) []error) []error {
				return []error{errors.New("always")}
			})
			cfg.RetryFor, cfg.Logger = time.Second, slog.New(badLogger{Handler: slog.NewTextHandler(nil, nil)})
			return cfg
		}(), false},
		{"the priority panics", &producer.Config{Pressure: &producer.Pressure{
			Inspector: depthFunc(func() (drivers.Depth, error) { return drivers.Depth{Visible: 10}, nil }), High: 5, Overload: producer.Shed,
			Priority: func(m *handler.Message) int {
				if bad(m) {
					panic("no")
				}
				return 1
			},
		}}, false},
		{"the inspector panics", &producer.Config{Pressure: &producer.Pressure{
			Inspector: depthFunc(func() (drivers.Depth, error) { panic("no") }), High: 5, Every: time.Second,
		}}, true},
		{"the inspector ends its goroutine", &producer.Config{Pressure: &producer.Pressure{
			Inspector: depthFunc(func() (drivers.Depth, error) { runtime.Goexit(); return drivers.Depth{}, nil }), High: 5, Every: time.Second,
		}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			bubble(t, s, c.cfg, func(t *testing.T, p *producer.Producer) {
				pass(3 * time.Second)
				err := p.Send(t.Context(), message("bad"))
				if c.sent {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
					require.NotEmpty(t, err.Error())
				}
				require.NoError(t, p.Send(t.Context(), message("good")))
				require.Contains(t, s.taken, "good")
				require.Len(t, s.taken, map[bool]int{false: 1, true: 2}[c.sent], "each was sent once")
			})
		})
	}
}

// depthFunc is an Inspector.
type depthFunc func() (drivers.Depth, error)

func (d depthFunc) Depth(context.Context) (drivers.Depth, error) { return d() }

func (d depthFunc) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

// A logger that uses the producer does not deadlock it.
func TestTheLoggerIsNotCalledUnderALock(t *testing.T) {
	s := newSink()
	s.refuse = func(_ string, n int) error {
		if n == 1 {
			return errors.New("once")
		}
		return nil
	}
	logger := badLogger{Handler: slog.NewTextHandler(nil, nil)}
	var p *producer.Producer
	used := 0
	logger.use = func() {
		used++
		_ = p.Send(t.Context())
	}
	cfg := &producer.Config{Logger: slog.New(logger)}
	bubble(t, s, cfg, func(t *testing.T, made *producer.Producer) {
		p = made
		require.NoError(t, p.Send(t.Context(), message("x")))
		pass(time.Second)
		require.Equal(t, 2, used, "a failure and its end are logged")
	})
}
