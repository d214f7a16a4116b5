package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of [Config].
const (
	DefaultName         = "limit"
	DefaultMaxWait      = 2 * time.Second
	DefaultStoreTimeout = 2 * time.Second
)

// Config has what a limit may need beside its numbers. The zero Config is one
// limit for the process.
type Config struct {
	// Name is the limit's, in errors, in logs and in the store: limiters of one
	// name that share a store share a window. Empty means [DefaultName].
	Name string

	// Key returns what a message is counted under, and is called concurrently,
	// once a message. Nil means that all messages are counted together.
	Key func(m *handler.Message) string

	// MaxWait is how long a message over the limit may wait for its place before
	// it is given back; it never waits longer than half of what is left of its
	// lease. It occupies a handler meanwhile. Zero means [DefaultMaxWait], or not
	// at all where there is a Key. A negative value means not at all.
	MaxWait time.Duration

	// Store keeps the windows. Nil means a [Memory] of the limiter's own.
	Store Store

	// StoreTimeout is how long the store may take to answer. Zero means
	// [DefaultStoreTimeout]. A [Memory] always answers at once.
	StoreTimeout time.Duration

	// FailOpen lets messages through without a limit while the store fails.
	// Without it they are held back.
	FailOpen bool

	// Logger gets a record when the store stops answering and when it answers
	// again. Nil means slog.Default().
	Logger *slog.Logger

	// Observer gets an event then (handler.EventStoreDown, handler.EventStoreUp).
	// Nil is none.
	Observer handler.Observer
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Name == "" {
		d.Name = DefaultName
	}
	if d.MaxWait == 0 && d.Key == nil {
		d.MaxWait = DefaultMaxWait
	}
	d.MaxWait = max(d.MaxWait, 0)
	if d.Store == nil {
		d.Store = NewMemory(nil)
	}
	if d.StoreTimeout == 0 {
		d.StoreTimeout = DefaultStoreTimeout
	}
	d.Logger = invoke.Logger(d.Logger)
	return d
}

func (c *Config) validate(limit int, per time.Duration) error {
	var faults []error
	if limit <= 0 {
		faults = append(faults, fmt.Errorf("the limit is %d, not above zero", limit))
	}
	if per <= 0 {
		faults = append(faults, fmt.Errorf("the time is %v, not above zero", per))
	}
	if c.StoreTimeout < 0 {
		faults = append(faults, fmt.Errorf("StoreTimeout is %v, below zero", c.StoreTimeout))
	}
	return errors.Join(faults...)
}
