package sqs

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// SQS's limits.
const (
	maxBatch     = 10
	maxLease     = 12 * time.Hour
	maxSendDelay = 15 * time.Minute
	maxNames     = 10 // message attributes

	// maxRequestBytes bounds a request's messages together. Older regions and
	// emulators refuse more than oldRequestBytes; none of them has a queue that
	// accepts larger messages.
	maxRequestBytes = 1 << 20
	oldRequestBytes = 256 << 10
)

// Config configures a [Source]. The zero Config uses the queue's own settings.
type Config struct {
	// VisibilityTimeout is the lease that receives ask for, in whole seconds up
	// to 12 hours. Zero means the queue's current one, followed within a minute
	// of a change, or 30 seconds if the queue's is zero too.
	VisibilityTimeout time.Duration
	// DeadLetter is the dead-letter queue: a name, a URL or an ARN, in the
	// queue's account and region. Empty means the target of the queue's redrive
	// policy; without one, messages cannot be rejected.
	DeadLetter string
	// Logger receives warnings about the queue, and changes of its redrive policy.
	// Nil means slog.Default().
	Logger *slog.Logger
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete(queue string) (Config, error) {
	d := setting.Copy(c)
	d.Logger = invoke.Logger(d.Logger)
	if err := errors.Join(
		setting.Range("VisibilityTimeout", &d.VisibilityTimeout, 0, maxLease, 0),
		setting.Refuse(d.VisibilityTimeout%time.Second != 0, "VisibilityTimeout is %v: it must be whole seconds", d.VisibilityTimeout),
	); err != nil {
		return d, &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "open", Err: err}
	}
	return d, nil
}
