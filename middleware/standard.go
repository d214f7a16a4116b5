package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/breaker"
	"github.com/sluice-go/sluice/middleware/expiry"
	"github.com/sluice-go/sluice/middleware/heartbeat"
	"github.com/sluice-go/sluice/middleware/log"
	"github.com/sluice-go/sluice/middleware/ratelimit"
	"github.com/sluice-go/sluice/middleware/recoverer"
	"github.com/sluice-go/sluice/middleware/timeout"
)

// Config has the parts of the standard stack. The zero Config is a stack of
// recoverer, log (to slog.Default()), expiry, backoff and heartbeat with their defaults.
type Config struct {
	// Logger gets panics, and a record for each message. Nil means slog.Default().
	Logger *slog.Logger

	// Telemetry is the middleware of package otel, or any that belongs in its
	// place. Nil leaves it out.
	Telemetry handler.Middleware

	// Log configures the log of each message. Its Logger, if nil, is the one
	// above. Nil is the defaults of package log.
	Log *log.Config

	// Expiry says what becomes of messages past the time that their sender has set. Nil
	// drops them.
	Expiry *expiry.Config

	// Breakers guard the dependencies that the handler needs, the first
	// outermost.
	Breakers []*breaker.Breaker

	// Bulkhead is the middleware of package bulkhead. Nil leaves it out.
	Bulkhead handler.Middleware

	// RateLimits hold the handler to them, the first outermost.
	RateLimits []*ratelimit.Limiter

	// Idempotency is the middleware of package idempotency, or of one of its
	// stores. Nil leaves it out.
	Idempotency handler.Middleware

	// Backoff configures the delays of retries. Nil is the defaults of package
	// backoff, which leave the last attempt to the queue.
	Backoff *backoff.Config

	// Timeout is how long the handler may take. Zero leaves the limit out.
	Timeout time.Duration

	// Heartbeat configures the heartbeat. Nil is the defaults of package
	// heartbeat: until the handler returns, however long it takes.
	Heartbeat *heartbeat.Config

	// NoHeartbeat leaves the heartbeat out: a handler has one lease's length.
	NoHeartbeat bool
}

// A Stack is middleware in its order, and the gates that belong to it. It never
// changes and may be used for several handlers.
type Stack struct {
	middleware []handler.Middleware
	gates      []handler.Gate
}

// Standard builds the standard stack; the package comment has its order. A nil
// config is the zero [Config]. The error has the faults of all parts.
func Standard(config *Config) (*Stack, error) {
	var c Config
	if config != nil {
		c = *config
	}
	retries, backoffErr := backoff.New(c.Backoff)
	beat, heartbeatErr := heartbeat.New(c.Heartbeat)
	var limit handler.Middleware
	var timeoutErr error
	if c.Timeout != 0 {
		limit, timeoutErr = timeout.New(c.Timeout, nil)
	}
	if c.NoHeartbeat {
		beat, heartbeatErr = nil, setting.Refuse(c.Heartbeat != nil, "Heartbeat and NoHeartbeat exclude each other")
	}
	if err := errors.Join(backoffErr, timeoutErr, heartbeatErr); err != nil {
		return nil, fmt.Errorf("standard middleware: %w", err)
	}

	s := &Stack{}
	s.add(recoverer.New(&recoverer.Config{Logger: c.Logger}))
	s.add(c.Telemetry)
	s.add(log.New(c.logConfig()))
	s.add(expiry.New(c.Expiry))
	for _, b := range c.Breakers {
		if b != nil {
			s.add(b.Middleware)
			s.gates = append(s.gates, b)
		}
	}
	s.add(c.Bulkhead)
	for _, l := range c.RateLimits {
		if l != nil {
			s.add(l.Middleware)
			s.gates = append(s.gates, l)
		}
	}
	s.add(c.Idempotency)
	s.gates = append(s.gates, handler.GatesOf(c.Idempotency)...)
	s.add(retries)
	s.add(recoverer.New(&recoverer.Config{Logger: c.Logger}))
	s.add(limit)
	s.add(beat)
	return s, nil
}

func (c *Config) logConfig() *log.Config {
	var l log.Config
	if c.Log != nil {
		l = *c.Log
	}
	if l.Logger == nil {
		l.Logger = c.Logger
	}
	return &l
}

func (s *Stack) add(m handler.Middleware) {
	if m != nil {
		s.middleware = append(s.middleware, m)
	}
}

// Handler wraps h in the stack.
func (s *Stack) Handler(h handler.Handler) handler.Handler {
	return handler.Chain(h, s.middleware...)
}

// Gates returns the gates of the breakers, of the rate limits and of the
// idempotency middleware's store. Give them to the runtime. Without them messages
// are received that can't be handled; the runtime then holds them, up to its
// bounds, and gives the rest back.
func (s *Stack) Gates() []handler.Gate {
	return append([]handler.Gate(nil), s.gates...)
}
