package config

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/drivers/provision"
)

// A Consumer says how a queue is consumed: the section consumer of a queue. Package
// service, sluice run and sluice doctor go by it.
type Consumer struct {
	// Concurrency is how many messages are handled concurrently. Zero means
	// consumer.DefaultConcurrency. Of a queue in a group it is the group's.
	Concurrency int
	// Group names the group of queues that share handlers. Empty means that the queue has
	// handlers of its own.
	Group string
	// Weight is the queue's share of its group's handlers, relative to those of the others.
	// Zero means 1.
	Weight int
	// Priority puts the queue before all of its group with a lower one, strictly. Zero is
	// the lowest. A group has weights or priorities.
	Priority int
	// Timeout is how long a handler may take. Zero means no limit.
	Timeout time.Duration
	// Heartbeat has a message's lease kept while it is handled. In a file it is true
	// unless it is given.
	Heartbeat bool
	// P99 is how long the slowest hundredth of the handlers take. Zero is not known.
	P99 time.Duration
	// Retry says how retries are spaced; see [Queue.Retries]. Nil adds nothing to the
	// queue's own section retry.
	Retry *Retry
	// Idempotency keeps a message from being handled twice. Nil leaves it out.
	Idempotency *Idempotency
	// RateLimit, Breaker and Bulkhead hold messages back. Nil leaves each out.
	RateLimit *RateLimit
	Breaker   *Breaker
	Bulkhead  *Bulkhead
}

// check reports what of a section contradicts itself, or the queue's other keys. where
// returns the place of a key that is not at fault alone.
func (c *Consumer) check(spec *provision.Spec, where func(key string) string, fault func(key, problem, remedy string)) {
	c.checkRetry(spec, where, fault)
	if c.Timeout > 0 && c.P99 > c.Timeout {
		fault("consumer.p99", fmt.Sprintf("%s is more than consumer.timeout (%s), which is %s and ends such handlers",
			FormatDuration(c.P99), where("consumer.timeout"), FormatDuration(c.Timeout)), "make the timeout longer")
	}
	if lease := spec.VisibilityTimeout; !c.Heartbeat && lease > 0 && c.Timeout > lease {
		fault("consumer.timeout", fmt.Sprintf("%s is more than visibility_timeout (%s), which is %s: without a heartbeat the lease ends before the handler",
			FormatDuration(c.Timeout), where("visibility_timeout"), FormatDuration(lease)), "set consumer.heartbeat: true, or make visibility_timeout longer")
	}
	if i := c.Idempotency; i != nil && !IsURL(i.Store) {
		fault("consumer.idempotency.store", "there is no store", "give its URL, such as postgres://host/db or sqlite://marks.db")
	}
	if l := c.RateLimit; l != nil && l.Rate.N == 0 {
		fault("consumer.rate_limit.rate", "there is no rate", "such as 50/s")
	}
	if b := c.Bulkhead; b != nil {
		switch {
		case b.Limit == 0:
			fault("consumer.bulkhead.limit", "there is no limit", "say how many messages of one key may be handled concurrently")
		case b.Limit > c.Concurrency:
			fault("consumer.bulkhead.limit", fmt.Sprintf("%d is more than consumer.concurrency (%s), which is %d: it would never be reached",
				b.Limit, where("consumer.concurrency"), c.Concurrency), "")
		}
		if b.Key == "" {
			fault("consumer.bulkhead.key", "there is no key", "say whose messages are limited, such as attribute:tenant")
		}
	}
}

// checkRetry is check for the section retry: a delay has one owner.
func (c *Consumer) checkRetry(spec *provision.Spec, where func(key string) string, fault func(key, problem, remedy string)) {
	r := c.Retry
	if r == nil {
		return
	}
	if own := spec.Retry; own != nil {
		for _, d := range []struct {
			key       string
			mine, own time.Duration
		}{{"retry.min", r.Min, own.Min}, {"retry.max", r.Max, own.Max}} {
			if d.mine != 0 && d.mine != d.own {
				fault("consumer."+d.key, fmt.Sprintf("%s, but %s (%s) is %s", FormatDuration(d.mine), d.key, where(d.key), FormatDuration(d.own)),
					"consumers go by the queue's section retry: leave it out here")
			}
		}
	} else if lo, hi := cmp.Or(r.Min, time.Second), cmp.Or(r.Max, max(10*time.Minute, r.Min)); lo > hi {
		fault("consumer.retry.min", fmt.Sprintf("%s is more than consumer.retry.max, which is %s", FormatDuration(lo), FormatDuration(hi)), "")
	}
	if d := spec.DeadLetter; d != nil && r.MaxAttempts > d.MaxAttempts {
		fault("consumer.retry.max_attempts", fmt.Sprintf("%d is more than dead_letter.max_attempts (%s), which is %d and counts first",
			r.MaxAttempts, where("dead_letter.max_attempts"), d.MaxAttempts), "")
	}
}

// Retry says how retries are spaced, and when they end.
type Retry struct {
	// Min and Max are the delays after the first attempt, and the longest. Zero means
	// that the configuration gives none.
	Min, Max time.Duration
	// MaxAttempts is the attempt whose failure rejects the message. Zero means no limit
	// but the queue's own.
	MaxAttempts int
}

// Idempotency names the store of the keys of messages that were handled.
type Idempotency struct {
	// Store is the store's URL.
	Store string
	// Key is what identifies a message: "dedupe_id" or an attribute.
	Key Key
	// Transactional has the handler run in a transaction of the store's SQL database,
	// in which its effect and the mark commit together.
	Transactional bool
	// TTL is how long a key is kept.
	TTL time.Duration
}

// A RateLimit bounds how many messages are begun in a time, in each process.
type RateLimit struct {
	Rate Rate
	// Key makes the limit one of each key. Empty means one limit for all.
	Key Key
}

// A Breaker stops receiving while handlers fail because of what they depend on.
type Breaker struct {
	// Window is how long an outcome counts, MinCount how many there must be, and Ratio
	// the part of them that must have failed.
	Window   time.Duration
	MinCount int
	Ratio    float64
	// OpenFor is how long receiving stops at first.
	OpenFor time.Duration
}

// A Bulkhead bounds how many messages of one key are handled concurrently, in each
// process.
type Bulkhead struct {
	Limit int
	Key   Key
}
