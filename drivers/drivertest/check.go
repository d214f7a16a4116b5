package drivertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// A check is one run of one rule. It is a testify TestingT that gathers
// failures instead of failing a test, since an excepted rule may fail.
type check struct {
	ctx  context.Context
	h    *Harness
	rule Rule

	mu           sync.Mutex
	failures     []string
	inapplicable string
	cleanups     []func()
}

// Errorf records a failure. It is safe for concurrent use.
func (c *check) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at := where(); at != "" {
		text = at + ": " + text
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, text)
}

// FailNow ends the check. Only the check's own goroutine may call it.
func (c *check) FailNow() { runtime.Goexit() }

// fatalf records a failure and ends the check.
func (c *check) fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	c.FailNow()
}

// notApplicable ends the check: the queue has nothing that the rule is about.
func (c *check) notApplicable(format string, args ...any) {
	c.inapplicable = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// needs ends the check as not applicable unless ok is true.
func (c *check) needs(ok bool, otherwise string) {
	if !ok {
		c.notApplicable("%s", otherwise)
	}
}

func (c *check) atEnd(f func()) { c.cleanups = append(c.cleanups, f) }

func (c *check) cleanup() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
}

// patience is how long a rule waits for something that must happen. It is long,
// since only a broken rule uses it up; an excepted rule, which is expected to be
// broken, waits for a shorter time.
func (c *check) patience() time.Duration {
	if _, excepted := c.h.Exceptions[c.rule.ID]; excepted {
		return 5 * time.Second
	}
	return 30 * time.Second
}

// brief is a lease that a rule waits for, with nothing to do before it ends.
func (c *check) brief() time.Duration { return max(2*time.Second, c.h.minLease()) }

// short is a lease that a rule can wait for, and that lasts for a step or two
// before it ends, on a machine that is busy.
func (c *check) short() time.Duration { return max(5*time.Second, c.h.minLease()) }

// long is a lease that does not end while a rule runs, however busy the machine.
func (c *check) long() time.Duration { return 10 * time.Minute }

// attempts is a native number of deliveries for rules on dead-lettering.
func (c *check) attempts() int { return max(2, c.h.minAttempts()) }

// detecting makes a queue that reports a bad receipt, or ends the check:
// on SQS that is a FIFO queue only.
func (c *check) detecting() *bench {
	b := c.queue(QueueOptions{})
	if !b.caps.StaleReceiptFails {
		b = c.queue(QueueOptions{Ordered: true})
	}
	c.needs(b.caps.StaleReceiptFails, "the provider does not detect a bad receipt")
	return b
}

// leasing makes a queue whose leases are known and can be extended, or ends the
// check.
func (c *check) leasing(o QueueOptions) *bench {
	b := c.queue(o)
	b.needsLease()
	return b
}

// retrying makes a queue that can delay a retry, or ends the check.
func (c *check) retrying(o QueueOptions) *bench {
	b := c.queue(o)
	c.needs(b.caps.MaxDelay > 0, "a retry cannot be delayed")
	return b
}

// queue makes a queue and opens a source and a sink on it.
func (c *check) queue(o QueueOptions) *bench {
	if o.Lease == 0 {
		o.Lease = c.long()
	}
	q, err := c.h.NewQueue(c.ctx, o)
	if errors.Is(err, drivers.ErrUnsupported) {
		c.notApplicable("%v", err)
	}
	if err != nil {
		c.fatalf("the harness could not make the queue: %v", err)
	}
	if q.Close != nil {
		c.atEnd(func() {
			if err := q.Close(); err != nil {
				c.Errorf("the harness could not close the queue: %v", err)
			}
		})
	}
	b := &bench{check: c, q: q, o: o}
	b.src = b.source()
	b.sink = b.openSink()
	b.caps = b.src.Capabilities()
	return b
}

// counting makes a queue on which attempts are counted: on Pub/Sub that is one
// with a dead-letter policy.
func (c *check) counting() *bench {
	b := c.queue(QueueOptions{})
	if !b.caps.AttemptKnown {
		b = c.queue(QueueOptions{DeadLetter: true})
	}
	c.needs(b.caps.AttemptKnown, "the provider does not count attempts")
	return b
}

// needsDeadLetter makes a queue with a dead-letter queue, or ends the check.
func (c *check) deadLetterQueue(o QueueOptions) *bench {
	o.DeadLetter = true
	b := c.queue(o)
	if !b.caps.DeadLetter {
		c.fatalf("the queue has a dead-letter queue, but Capabilities.DeadLetter is false")
	}
	return b
}

// refused fails unless err is an error of one of the codes that names the place.
func (c *check) refused(err error, what string, codes ...drivers.Code) {
	if err == nil {
		c.fatalf("%s succeeded; it must fail as %v", what, codes)
	}
	if !slices.Contains(codes, drivers.CodeOf(err)) {
		c.fatalf("%s failed with code %q; it must be one of %v: %v", what, drivers.CodeOf(err), codes, err)
	}
}

func (c *check) bodies(what string, bodies ...string) {
	b := c.queue(QueueOptions{})
	for _, body := range bodies {
		b.roundTrip(what, text(body))
	}
}

// delaying makes a queue that delays single messages, or ends the check.
func (c *check) delaying() *bench {
	b := c.queue(QueueOptions{})
	c.needs(b.sink.Capabilities().MaxSendDelay > 0, "messages cannot be sent with a delay")
	return b
}

func (c *check) missing() *Queue {
	c.needs(c.h.Missing != nil, "queues are made when they are opened")
	q, err := c.h.Missing(c.ctx)
	if err != nil {
		c.fatalf("the harness could not name a missing queue: %v", err)
	}
	return q
}

// clear fails unless err is a not-found error that names the queue and the
// operation.
func (c *check) clear(err error) {
	c.refused(err, "using a queue that does not exist", drivers.NotFound)
	var e *drivers.Error
	if !errors.As(err, &e) {
		c.fatalf("the error is no *drivers.Error: %v", err)
	}
	require.NotEmpty(c, e.Queue, "the error names no queue: %v", err)
	require.NotEmpty(c, e.Op, "the error names no operation: %v", err)
}

func (c *check) ordered() *bench { return c.queue(QueueOptions{Ordered: true}) }
