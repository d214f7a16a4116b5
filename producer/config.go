package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of a [Config].
const (
	DefaultMaxBuffered      = 10_000
	DefaultMaxBufferedBytes = 64 << 20
	DefaultMaxInFlight      = 16
	DefaultLinger           = 5 * time.Millisecond
	DefaultRetryFor         = 30 * time.Second
	DefaultRequestTimeout   = 30 * time.Second
)

// Config configures a [Producer]. The zero Config, and nil, are the defaults.
type Config struct {
	// MaxBuffered and MaxBufferedBytes bound the messages that are in memory,
	// those on their way included. Beyond them Send blocks. Zero means
	// DefaultMaxBuffered and DefaultMaxBufferedBytes. A single message larger
	// than the bound is taken if nothing else is in memory.
	//
	// Messages that are tried again, and those that wait for them in their
	// groups, have the same bounds to themselves: a group that fails does not
	// take the room of the others. There can be twice as many messages in all.
	MaxBuffered      int
	MaxBufferedBytes int

	// MaxInFlight is how many requests may be on their way at once. Zero means
	// DefaultMaxInFlight.
	MaxInFlight int

	// Linger is how long a message may wait for others to share a request with,
	// while other requests are on their way. Zero means DefaultLinger; negative
	// sends each call's messages immediately.
	Linger time.Duration

	// RetryFor is how long a message is sent again whose failure may pass.
	// Zero means DefaultRetryFor; negative is no second try. A FIFO queue
	// recognizes a message that it has taken for five minutes: with more than
	// that, a message whose answer was lost can be there twice.
	RetryFor time.Duration

	// RequestTimeout bounds one request. Zero means DefaultRequestTimeout. A
	// request that goes on for more than a second after it is left behind, and
	// its messages are reported with ErrUnknown.
	RequestTimeout time.Duration

	// Prepare is called in this order on each message before its size is
	// checked and it is sent: to inject a trace, to put a large body into a
	// bucket (package codec/claimcheck). It gets Send's context and a copy of
	// the message, attributes included, and changes that; the caller's own
	// message is left as it is. An error or a panic fails the message. It is not
	// called if Send's context has ended. It may be called concurrently.
	Prepare []func(ctx context.Context, m *handler.Message) error

	// Send, if it is set, is called for each request in the sink's place, to
	// trace and count it: it calls send with what it was given and returns what
	// that returned. If it panics before it has called send, the messages fail;
	// after that, send's results count. It may be called concurrently.
	Send func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error

	// Pressure holds senders back while the queue is too deep. Nil does not.
	Pressure *Pressure

	// Logger logs retries, overload, and panics of the hooks. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// log logs. It must not be called under a lock: the logger's handler is the
// user's code.
func (c *Config) log(level slog.Level, text string, args ...any) {
	c.Logger.Log(context.Background(), level, text, args...)
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	orDefault(&d.MaxBuffered, DefaultMaxBuffered)
	orDefault(&d.MaxBufferedBytes, DefaultMaxBufferedBytes)
	orDefault(&d.MaxInFlight, DefaultMaxInFlight)
	orDefault(&d.Linger, DefaultLinger)
	orDefault(&d.RetryFor, DefaultRetryFor)
	orDefault(&d.RequestTimeout, DefaultRequestTimeout)
	d.Logger = invoke.Logger(d.Logger)
	if d.Pressure != nil {
		p := *d.Pressure
		orDefault(&p.Every, DefaultPressureEvery)
		orDefault(&p.Low, p.High*4/5)
		d.Pressure = &p
	}
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns every fault of a Config whose defaults are filled in.
func (c *Config) validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxBuffered", c.MaxBuffered},
		{"MaxBufferedBytes", c.MaxBufferedBytes},
		{"MaxInFlight", c.MaxInFlight},
		{"RequestTimeout", int(c.RequestTimeout)},
	} {
		if f.value < 1 {
			faults = append(faults, fmt.Errorf("%s is %d: it must be positive", f.name, f.value))
		}
	}
	for i, p := range c.Prepare {
		if p == nil {
			faults = append(faults, fmt.Errorf("Prepare[%d] is nil", i))
		}
	}
	if c.Pressure != nil {
		faults = append(faults, c.Pressure.validate())
	}
	return errors.Join(faults...)
}
