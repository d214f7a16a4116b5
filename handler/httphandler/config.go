package httphandler

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures how messages are posted. The zero Config has the defaults.
type Config struct {
	// Concurrency is how many connections are kept open between requests; it
	// should be the consumer's, so that no message waits for a new connection.
	// More requests than that at the same time are made all the same. Zero means
	// 16. It cannot be given along with Transport.
	Concurrency int

	// Timeout is how long a request may take, answer included; then the message
	// is retried. Zero means a minute, below zero no limit but the end of
	// the handler's context. It should be shorter than the message's lease,
	// unless the heartbeat middleware keeps that.
	Timeout time.Duration

	// MaxRetryAfter is the longest delay that an endpoint can ask for with
	// Retry-After; a longer one is cut to it. Zero means
	// 12 hours, the longest that SQS can hold a message. A shorter
	// one costs more attempts in a long outage; a longer one lets an endpoint
	// with a wrong clock put messages off for as long.
	MaxRetryAfter time.Duration

	// Signer signs the requests. The ID is the message's dedupe ID, or its ID
	// if there is none; one with characters that cannot be signed is replaced
	// by "sha256_" and its hash in hexadecimal. Nil signs nothing.
	Signer *webhook.Signer

	// Header are headers of every request, such as Authorization. They take
	// precedence over headers from the sender of a message (its attributes,
	// Content-Type and trace context). Headers from the queue, such as
	// Sluice-Message-Id, and the current span take precedence over them. Nil adds
	// none. It must not be changed after the call of New.
	Header http.Header

	// Transport makes the requests. Nil is one like the standard library's,
	// which obeys HTTP_PROXY and its like, with Concurrency connections kept. It
	// finds out a connection that has died in silence within a minute: an HTTP/2
	// connection by pings, one of HTTP/1 by TCP's own means, which do not see
	// through a proxy that goes on acknowledging. After a request that was not
	// answered in time, it makes the next ones over new connections; of another
	// transport the idle ones are closed.
	Transport http.RoundTripper

	// Logger gets a record when the endpoint can't be reached, and when it can
	// again, and at most once a minute one of attributes that are not passed on.
	// Nil means slog.Default().
	Logger *slog.Logger

	// Now is the clock for Retry-After dates and signatures. It is called
	// concurrently. Nil means time.Now.
	Now func() time.Time
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	both := d.Concurrency != 0 && d.Transport != nil
	d.Timeout = cmp.Or(d.Timeout, time.Minute)
	d.Logger = invoke.Logger(d.Logger)
	if d.Now == nil {
		d.Now = time.Now
	}
	return d, errors.Join(
		setting.Default("Concurrency", &d.Concurrency, 16),
		setting.Refuse(both, "Concurrency sizes the transport that New makes, and Transport is another: they exclude each other"),
		setting.Default("MaxRetryAfter", &d.MaxRetryAfter, 12*time.Hour),
	)
}

var _ handler.Handler = (*Handler)(nil)
