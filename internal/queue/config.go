package queue

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures a queue. The zero Config is a plain queue with the
// defaults.
type Config struct {
	// Visibility is the lease that a receive gives. Zero means DefaultVisibility.
	Visibility time.Duration
	// Retention is how long a message is kept, from its enqueue time. Zero
	// means DefaultRetention.
	Retention time.Duration
	// Delay is the delay of messages that are sent without one.
	Delay time.Duration
	// Ordered delivers messages of one group in the order they were sent, one
	// batch of the group at a time: while one of them is in flight or waits for
	// its retry, the later ones are not delivered. Messages without a group are
	// not ordered.
	Ordered bool
	// DedupeWindow is how long a second message with the same dedupe ID counts as
	// a duplicate of the first: it is accepted, gets the first's ID and sequence,
	// and is not stored. Zero means that dedupe IDs are stored and ignored.
	DedupeWindow time.Duration
	// DedupePerGroup makes the window per group (SQS high-throughput FIFO)
	// rather than per queue.
	DedupePerGroup bool
	// DeadLetter is the queue that a message goes to at the receive after its
	// MaxReceives-th, and when it is rejected. Empty means none.
	DeadLetter string
	// MaxReceives is how often a message is received before it is
	// dead-lettered. Zero means that only a rejection dead-letters.
	MaxReceives int
	// Lax gives up the engine's promises that SQS does not make, so that a
	// program that needs one of them fails on sqstest as it fails on AWS:
	//
	//   - In a queue that is not Ordered, any receipt of a message changes its
	//     lease: one whose lease has ended, and one that is older than the
	//     delivery that holds the message.
	//   - In an Ordered queue only the messages behind a hidden one wait. The
	//     first of a group is delivered as soon as it is visible, even if later
	//     ones are in flight.
	//   - A dead letter goes on with the Receives and FirstReceived that it had,
	//     and counts toward MaxReceives from zero. The DedupeID of a letter in an
	//     Ordered queue is its ID.
	//   - A move task makes a new ID for each message.
	//   - Purge forgets the dedupe IDs.
	//   - A queue may be its own dead-letter queue.
	Lax bool
	// Extra is carried for the engine's face and means nothing to the engine.
	Extra map[string]string
}

// The defaults of a Config, those of SQS.
const (
	DefaultVisibility = 30 * time.Second
	DefaultRetention  = 4 * 24 * time.Hour
)

// WithDefaults returns a deep copy of c in which zero fields have their
// defaults.
func (c Config) WithDefaults() Config {
	if c.Visibility == 0 {
		c.Visibility = DefaultVisibility
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if len(c.Extra) == 0 {
		c.Extra = nil
	}
	c.Extra = maps.Clone(c.Extra)
	return c
}

// Validate returns all faults of the configuration of the named queue, joined.
func (c *Config) Validate(name string) error {
	own := c.DeadLetter != "" && c.DeadLetter == name && !c.Lax
	if err := errors.Join(
		setting.Refuse(name == "", "the queue's name is empty"),
		setting.NotNegative("Visibility", c.Visibility),
		setting.NotNegative("Retention", c.Retention),
		setting.NotNegative("Delay", c.Delay),
		setting.NotNegative("DedupeWindow", c.DedupeWindow),
		setting.NotNegative("MaxReceives", c.MaxReceives),
		setting.Refuse(own, "the queue is its own dead-letter queue"),
	); err != nil {
		return fmt.Errorf("queue %q: %w: %w", name, ErrConfig, err)
	}
	return nil
}

// Equal reports whether two configurations that have their defaults are the
// same.
func (c *Config) Equal(d *Config) bool {
	return c.Visibility == d.Visibility && c.Retention == d.Retention && c.Delay == d.Delay &&
		c.Ordered == d.Ordered && c.Lax == d.Lax && c.DedupeWindow == d.DedupeWindow && c.DedupePerGroup == d.DedupePerGroup &&
		c.DeadLetter == d.DeadLetter && c.MaxReceives == d.MaxReceives && maps.Equal(c.Extra, d.Extra)
}

// AnyReceipt reports whether old and expired receipts change leases.
func (c *Config) AnyReceipt() bool { return c.Lax && !c.Ordered }

// DedupeScope returns the scope, within the queue, in which a dedupe ID is
// unique.
func (c *Config) DedupeScope(group string) string {
	if c.DedupePerGroup {
		return group
	}
	return ""
}

// NoDeadLetter returns why a message cannot be dead-lettered.
func (c *Config) NoDeadLetter(name string) error {
	if c.DeadLetter == "" {
		return fmt.Errorf("queue %q: %w", name, ErrNoDeadLetter)
	}
	return fmt.Errorf("queue %q: %w: %q does not exist", name, ErrNoDeadLetter, c.DeadLetter)
}
