package handlertest

import (
	"cmp"
	"errors"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config describes the queue to simulate. The zero Config has the defaults.
type Config struct {
	// Queue is the queue's name in the messages' origin. Empty means
	// "test".
	Queue string
	// System is the provider's name there. Empty means
	// "handlertest".
	System string
	// MaxDelay is the longest delay that a retry may have; longer ones are cut
	// to it. Zero means no limit.
	MaxDelay time.Duration
	// Lease is how long the lease of a delivery is. Zero means 30 seconds.
	Lease time.Duration
	// NoLease delivers messages without a lease, as AWS Lambda and HTTP push do.
	NoLease bool
	// RetryDelay is how long a message stays invisible whose retry names no
	// delay. Zero means not at all.
	RetryDelay time.Duration
	// MaxAttempts is the delivery after which a message that is not done with is
	// dead-lettered. Zero means 5; a negative value means
	// that there is no limit.
	MaxAttempts int
	// NoDeadLetter makes a queue without a dead-letter queue: rejected messages
	// are retried, and attempts do not end.
	NoDeadLetter bool
	// HideAttempt delivers messages with attempt 0, as a Pub/Sub subscription
	// without a dead-letter policy does.
	HideAttempt bool
	// Concurrency is how many handlers [Queue.Drain] runs at the same time.
	// Zero means one, which runs on the caller's goroutine.
	Concurrency int
	// Gates are asked before each delivery, as in the runtime.
	Gates []handler.Gate
	// Clock is the time by which delays and leases go. Nil means the time
	// package.
	Clock *Clock
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Queue = cmp.Or(d.Queue, "test")
	d.System = cmp.Or(d.System, "handlertest")
	d.MaxAttempts = cmp.Or(d.MaxAttempts, 5)
	return d, errors.Join(
		setting.NotNegative("MaxDelay", d.MaxDelay),
		setting.Default("Lease", &d.Lease, 30*time.Second),
		setting.NotNegative("RetryDelay", d.RetryDelay),
		setting.Default("Concurrency", &d.Concurrency, 1),
	)
}
