package producer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures a [Producer]. The zero Config, and nil, are the defaults.
type Config struct {
	// MaxBuffered and MaxBufferedBytes bound the messages that are in memory,
	// those on their way included. Beyond them Send blocks. Zero means
	// 10,000 messages and 64 MiB. A single message larger
	// than the bound is taken if nothing else is in memory.
	//
	// Messages that are tried again, and those that wait for them in their
	// groups, have the same bounds to themselves: a group that fails does not
	// take the room of the others. There can be twice as many messages in all.
	MaxBuffered      int
	MaxBufferedBytes int

	// MaxInFlight is how many requests may be on their way at once. Zero means
	// 16.
	MaxInFlight int

	// Linger is how long a message may wait for others to share a request with,
	// while other requests are on their way. Zero means 5 ms; negative
	// sends each call's messages immediately.
	Linger time.Duration

	// RetryFor is how long a message is sent again whose failure may pass.
	// Zero means 30 seconds; negative is no second try. A FIFO queue
	// recognizes a message that it has taken for five minutes: with more than
	// that, a message whose answer was lost can be there twice.
	RetryFor time.Duration

	// RequestTimeout bounds one request. Zero means 30 seconds. A
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

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Linger = cmp.Or(d.Linger, 5*time.Millisecond)
	d.RetryFor = cmp.Or(d.RetryFor, 30*time.Second)
	d.Logger = invoke.Logger(d.Logger)
	faults := []error{
		setting.Default("MaxBuffered", &d.MaxBuffered, 10_000),
		setting.Default("MaxBufferedBytes", &d.MaxBufferedBytes, 64<<20),
		setting.Default("MaxInFlight", &d.MaxInFlight, 16),
		setting.Default("RequestTimeout", &d.RequestTimeout, 30*time.Second),
		setting.NotNil("Prepare", d.Prepare),
	}
	if d.Pressure != nil {
		p, err := d.Pressure.complete()
		d.Pressure = &p
		faults = append(faults, err)
	}
	return d, errors.Join(faults...)
}
