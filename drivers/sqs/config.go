package sqs

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
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

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.Logger = invoke.Logger(d.Logger)
	return d
}

func (c *Config) validate(queue string) error {
	if v := c.VisibilityTimeout; v < 0 || v > maxLease || v%time.Second != 0 {
		return &drivers.Error{Code: drivers.Invalid, Queue: queue, Op: "open",
			Err: fmt.Errorf("visibility timeout %v: it must be whole seconds, 12h at most", v)}
	}
	return nil
}
