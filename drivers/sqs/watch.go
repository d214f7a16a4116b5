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
	// rereadEvery is about how often the redrive policy is read again, and
	// rereadSoon the shortest time between two readings after a letter found no
	// queue.
	rereadEvery = 2 * time.Minute
	rereadSoon  = 10 * time.Second
	// rereadTime bounds the requests, for which one settlement waits, or one receive
	// that has brought nothing.
	rereadTime = 5 * time.Second
)

// policy is what becomes of messages that fail, as it was read last. It is never
// changed.
type policy struct {
	dlq      *queue // nil: there is none
	arn      string // of the redrive policy's target
	attempts int    // the policy's; zero if there is none
}

// watch is when the redrive policy is read again. [Source.Current] is the result.
type watch struct {
	reread.Schedule
	now     atomic.Pointer[policy]
	doubted atomic.Bool // the dead-letter queue is looked at too
}

// begin sets what was read as the source is opened.
func (w *watch) begin(now *policy) {
	w.now.Store(now)
	w.Begin(rereadEvery, rereadSoon, rereadEvery/2)
}

// doubt has the policy and its target read again soon.
func (w *watch) doubt() {
	w.doubted.Store(true)
	w.Doubt()
}

// dlq is the dead-letter queue, nil if there is none.
func (s *Source) dlq() *queue { return s.watch.now.Load().dlq }

// Current implements [drivers.Watcher].
func (s *Source) Current() drivers.Current {
	p := s.watch.now.Load()
	c := drivers.Current{MaxAttempts: p.attempts}
	if p.dlq != nil {
		c.DeadLetterQueue = p.dlq.name
	}
	return c
}

// reread reads the queue's redrive policy again if it is time to, follows what has
// changed, and logs it. If that fails all stays as it was.
func (s *Source) reread(ctx context.Context, op string) {
	if !s.watch.Due() {
		return
	}
	doubted := s.watch.doubted.Swap(false)
	rctx, cancel := within(ctx, rereadTime)
	defer cancel()
	as, err := s.attributes(rctx, op, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return
	}
	was, now := s.watch.now.Load(), policy{}
	if text := as[attrRedrive]; text != "" {
		p, err := parseRedrivePolicy(text)
		if err != nil {
			return
		}
		now.arn, now.attempts = p.target, p.maxReceives
	}
	now.dlq = was.dlq
	if doubted || now.arn != was.arn || was.dlq == nil {
		if now.dlq, err = s.deadLetter(rctx, s.config, now.arn, now.arn != was.arn); err != nil {
			// Of one that is named, and gone, the next letter's error tells.
			return
		}
	}
	if now.dlq != nil && was.dlq != nil && now.dlq.url == was.dlq.url {
		now.dlq = was.dlq
	}
	if now == *was {
		return
	}
	s.watch.now.Store(&now)
	s.config.Logger.InfoContext(ctx, "the queue's redrive policy was changed: the consumer follows", "queue", s.name,
		"dead_letter_queue", s.Current().DeadLetterQueue, "max_attempts", now.attempts)
}
