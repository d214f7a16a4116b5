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

// Config configures a [Producer]. The zero Config, like nil, selects the defaults.
type Config struct {
	// MaxBuffered and MaxBufferedBytes bound the messages in memory, including
	// those in requests. Beyond them Send blocks. Zero means 10,000 messages and
	// 64 MiB. A single message larger than the bound is accepted if memory holds
	// no other.
	//
	// The same bounds apply separately to messages that are tried again and those
	// that wait for them in their groups, so that failing groups do not take the
	// room of the others. In all, twice as many messages may be in memory.
	MaxBuffered      int
	MaxBufferedBytes int

	// MaxInFlight bounds the requests that are on their way concurrently. Zero
	// means 16.
	MaxInFlight int

	// Linger is how long a message may wait for others to share its request, while
	// other requests are on their way. Zero means 5 ms; a negative value sends
	// each call's messages immediately.
	Linger time.Duration

	// RetryFor is how long a message is retried if its failure may pass. Zero
	// means 30 seconds; a negative value disables retries. A FIFO queue recognizes
	// a repeated message for five minutes: if RetryFor is longer, the queue may
	// have a message twice after its answer was lost.
	RetryFor time.Duration

	// RequestTimeout bounds one request. Zero means 30 seconds. A request that has
	// not returned a second after its timeout is left behind, and its messages are
	// reported with ErrUnknown.
	RequestTimeout time.Duration

	// Prepare functions are called in this order on each message before its size
	// is checked and it is sent, for example to inject a trace or to put a large
	// body into a bucket (package codec/claimcheck). They receive Send's context
	// and may change the message, which is a copy of the caller's, attributes
	// included. An error or a panic fails the message. They are not called if
	// Send's context has ended, and may be called concurrently.
	Prepare []func(ctx context.Context, m *handler.Message) error

	// Send, if not nil, is called for each request in place of the sink, to trace
	// and count requests. It must call send with its arguments and return send's
	// results. If it panics before it has called send, the messages fail; if it
	// panics later, send's results are used. It may be called concurrently.
	Send func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error

	// Pressure restrains senders while the queue is too deep. Nil never does.
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
