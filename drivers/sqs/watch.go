package sqs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/reread"
)

const (
	// rereadEvery is the approximate time between two readings of the redrive
	// policy, and rereadSoon the shortest time between two of them after a letter
	// found no queue.
	rereadEvery = 2 * time.Minute
	rereadSoon  = 10 * time.Second
	// rereadTime bounds the requests, for which one settlement waits, or one empty
	// receive.
	rereadTime = 5 * time.Second
)

// policy is the handling of messages that fail, as it was last read. It is
// immutable.
type policy struct {
	dlq      *queue // nil: there is none
	arn      string // of the redrive policy's target
	attempts int    // the policy's; zero if there is none
}

// A watch rereads a queue's redrive policy.
type watch struct {
	reread.Schedule
	queue   *queue
	config  Config
	now     atomic.Pointer[policy]
	doubted atomic.Bool // the next reading includes the dead-letter queue
}

// begin sets the policy that was read when the source was opened.
func (w *watch) begin(q *queue, c Config, now *policy) {
	w.queue, w.config = q, c
	w.now.Store(now)
	w.Begin(rereadEvery, rereadSoon, rereadEvery/2)
}

// doubt makes the next reading, of the policy and its target, due soon.
func (w *watch) doubt() {
	w.doubted.Store(true)
	w.Doubt()
}

// dlq returns the dead-letter queue, nil if there is none.
func (w *watch) dlq() *queue { return w.now.Load().dlq }

// current implements [Source.Current].
func (w *watch) current() drivers.Current {
	p := w.now.Load()
	c := drivers.Current{MaxAttempts: p.attempts}
	if p.dlq != nil {
		c.DeadLetterQueue = p.dlq.name
	}
	return c
}

// reread reads the redrive policy if a reading is due, and logs a change. If that
// fails the policy stays as it was.
func (w *watch) reread(ctx context.Context, op string) {
	if !w.Due() {
		return
	}
	doubted := w.doubted.Swap(false)
	rctx, cancel := within(ctx, rereadTime)
	defer cancel()
	as, err := w.queue.attributes(rctx, op, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return
	}
	was, now := w.now.Load(), policy{}
	if text := as[attrRedrive]; text != "" {
		p, err := parseRedrivePolicy(text)
		if err != nil {
			return
		}
		now.arn, now.attempts = p.target, p.maxReceives
	}
	now.dlq = was.dlq
	if doubted || now.arn != was.arn || was.dlq == nil {
		if now.dlq, err = w.queue.deadLetter(rctx, w.config, now.arn, now.arn != was.arn); err != nil {
			// If a configured queue is gone, the next letter's error reports it.
			return
		}
	}
	if now.dlq != nil && was.dlq != nil && now.dlq.url == was.dlq.url {
		now.dlq = was.dlq
	}
	if now == *was {
		return
	}
	w.now.Store(&now)
	w.config.Logger.InfoContext(ctx, "the queue's redrive policy was changed: the consumer uses the new policy", "queue", w.queue.name,
		"dead_letter_queue", w.current().DeadLetterQueue, "max_attempts", now.attempts)
}
