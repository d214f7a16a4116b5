package ratelimit

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config has the optional settings of a limit. The zero Config is one limit for
// the process.
type Config struct {
	// Name is the limit's, in errors, in logs and in the store: limiters of one
	// name that share a store share a window. Empty means "limit".
	Name string

	// Key returns the key under which a message is counted. It is called
	// concurrently, once for each message. Nil means that all messages are counted
	// together.
	Key func(m *handler.Message) string

	// MaxWait is how long a message over the limit may wait for its place before
	// it is released. It never waits longer than half of the rest of its lease. It
	// occupies a handler meanwhile. Zero means 2 seconds, or not at all with a
	// Key. A negative value means not at all.
	MaxWait time.Duration

	// Store keeps the windows. Nil means a [Memory] of the limiter's own.
	Store Store

	// StoreTimeout is how long the store may take to answer. Zero means
	// 2 seconds. A [Memory] always answers immediately.
	StoreTimeout time.Duration

	// FailOpen lets messages through without a limit while the store fails.
	// Without it they are held back.
	FailOpen bool

	// Logger gets a record when the store stops answering and when it answers
	// again. Nil means slog.Default().
	Logger *slog.Logger

	// Observer gets an event then (handler.EventStoreDown, handler.EventStoreUp).
	// Nil means no observer.
	Observer handler.Observer
}

// complete returns a copy of c with its defaults, and its faults and those of New's
// other arguments.
func (c *Config) complete(limit int, per time.Duration) (Config, error) {
	d := setting.Copy(c)
	d.Name = cmp.Or(d.Name, "limit")
	if d.Key == nil {
		d.MaxWait = cmp.Or(d.MaxWait, 2*time.Second)
	}
	d.MaxWait = max(d.MaxWait, 0)
	if d.Store == nil {
		d.Store = NewMemory()
	}
	d.Logger = invoke.Logger(d.Logger)
	return d, errors.Join(
		setting.Positive("the limit", limit),
		setting.Positive("the time", per),
		setting.Default("StoreTimeout", &d.StoreTimeout, 2*time.Second),
	)
}
