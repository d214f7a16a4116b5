package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"gocloud.dev/pubsub/awssnssqs"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// sqsLoad is the load to consume, and the way to do it.
type sqsLoad struct {
	concurrency int
	work        time.Duration
}

// An sqsConsumer handles and deletes n messages of a queue and returns when all
// are deleted.
type sqsConsumer func(ctx context.Context, q *queue, n int, l sqsLoad) (done func() error, err error)

// consumed multiplies the messages of a run that consumes: opening the queue and the first
// receives, before the times of receives and handlers are known, are a small part of it.
const consumed = 3

// consumeSQS measures a consumer on a queue of its own: what a receive that was
// canceled still asks for must not take messages from the next one.
func consumeSQS(consume sqsConsumer, l sqsLoad) func(context.Context, *env) (sample, error) {
	return func(ctx context.Context, e *env) (s sample, err error) {
		q, err := newQueue(ctx, e)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, q.close(ctx)) }()
		n := consumed * e.sizes.messages
		if err := q.fill(ctx, n); err != nil {
			return nil, err
		}
		m, err := begin(q.counts)
		if err != nil {
			return nil, err
		}
		done, err := consume(ctx, q, n, l)
		if err != nil {
			return nil, err
		}
		s, err = m.end(n)
		if done != nil {
			err = errors.Join(err, done())
		}
		if err == nil && q.waiting.handled.quantile(1) > 0 {
			q.waiting.addTo(s)
		}
		return s, err
	}
}

// sqsConsumeCases are the cases of consuming from SQS.
func sqsConsumeCases() []experiment {
	var xs []experiment
	for _, w := range []struct {
		name string
		work time.Duration
	}{{"noop", 0}, {"5ms", 5 * time.Millisecond}} {
		for _, concurrency := range []int{32, 1000} {
			l := sqsLoad{concurrency: concurrency, work: w.work}
			times := 1
			if w.work == 0 {
				times = moreTimes
			}
			xs = append(xs, experiment{
				id:    fmt.Sprintf("sqs-consume/%s/%d", w.name, concurrency),
				title: fmt.Sprintf("SQS consume, handler %s, concurrency %d", w.name, concurrency),
				open:  startSQS, times: times,
				peers: []peer{
					{sluice, consumeSQS(consumeSluice(false), l)},
					{observed, consumeSQS(consumeSluice(true), l)},
					{"raw SDK loop", consumeSQS(rawLoop, l)},
					{piped, consumeSQS(rawPipelined, l)},
					{gocloudSQS, consumeSQS(consumeGocloudSQS, l)},
				},
			})
		}
	}
	return xs
}

func consumeSluice(observed bool) sqsConsumer {
	return func(ctx context.Context, q *queue, n int, l sqsLoad) (func() error, error) {
		src, err := q.opener().OpenSource(ctx, q.address(), nil)
		if err != nil {
			return nil, err
		}
		if observed {
			return runSluice(ctx, src, n, l.concurrency, l.work, &q.waiting)
		}
		return runSluice(ctx, src, n, l.concurrency, l.work)
	}
}

// pollers is how many receives are on their way in the loops that are written by
// hand, as in Sluice by default.
const pollers = 4

// rawLoop is what one writes without a library: each poller receives ten,
// handles them at the same time and deletes them.
func rawLoop(ctx context.Context, q *queue, n int, l sqsLoad) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the polls that still wait
	defer cancel()
	var handled atomic.Int64
	return nil, split(pollers, n, func(int) error {
		for handled.Load() < int64(n) {
			ms, err := q.receive(ctx, 20*time.Second)
			if handled.Load() >= int64(n) {
				return nil
			}
			if err != nil {
				return err
			}
			var batch sync.WaitGroup
			receipts := make([]*string, len(ms))
			for i := range ms {
				receipts[i] = ms[i].ReceiptHandle
				if l.work > 0 {
					batch.Go(func() { work(l.work) })
				}
			}
			batch.Wait()
			if len(ms) == 0 {
				continue
			}
			if err := q.remove(ctx, receipts); err != nil {
				return err
			}
			if handled.Add(int64(len(ms))) >= int64(n) {
				cancel()
			}
		}
		return nil
	})
}

// ahead is how many messages the pipelined loop holds that no handler works on.
const ahead = 10 * pollers

const piped = "raw, pipelined"

// rawPipelined is the same with receiving, handling and deleting at the same
// time, each by goroutines of its own.
func rawPipelined(ctx context.Context, q *queue, n int, l sqsLoad) (func() error, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	received := make(chan *types.Message, ahead)
	handled := make(chan *string, ahead)
	var deleted atomic.Int64
	var polls, handlers, deleters sync.WaitGroup
	for range pollers {
		polls.Go(func() {
			for deleted.Load() < int64(n) && ctx.Err() == nil {
				ms, err := q.receive(ctx, time.Second)
				if err != nil {
					cancel(err)
					return
				}
				for i := range ms {
					received <- &ms[i]
				}
			}
		})
		deleters.Go(func() {
			for r := range handled {
				batch, deadline := append(make([]*string, 0, 10), r), time.NewTimer(10*time.Millisecond)
			gather:
				for len(batch) < 10 {
					select {
					case r, ok := <-handled:
						if !ok {
							break gather
						}
						batch = append(batch, r)
					case <-deadline.C:
						break gather
					}
				}
				deadline.Stop()
				if err := q.remove(ctx, batch); err != nil {
					cancel(err)
				}
				deleted.Add(int64(len(batch)))
			}
		})
	}
	for range l.concurrency {
		handlers.Go(func() {
			for m := range received {
				work(l.work)
				handled <- m.ReceiptHandle
			}
		})
	}
	err := until(ctx, func() bool { return deleted.Load() >= int64(n) })
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return func() error {
		polls.Wait()
		close(received)
		handlers.Wait()
		close(handled)
		deleters.Wait()
		return nil
	}, err
}

// consumeGocloudSQS is the loop that gocloud.dev's documentation shows: one
// receiver, and a goroutine a message, bounded by a semaphore.
func consumeGocloudSQS(ctx context.Context, q *queue, n int, l sqsLoad) (func() error, error) {
	sub := awssnssqs.OpenSubscription(ctx, q.api, q.url, &awssnssqs.SubscriptionOptions{Raw: true})
	return nil, runGocloud(ctx, sub, n, l.concurrency, l.work)
}

// runSluice runs the consumer until n messages are acked; done ends it.
func runSluice(ctx context.Context, src drivers.Source, n, concurrency int, w time.Duration, observers ...handler.Observer) (done func() error, err error) {
	c, err := consumer.New(src, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		work(w)
		return nil
	}), &consumer.Config{Concurrency: concurrency, Observers: observers})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	if err := until(ctx, func() bool { return c.Stats().Acked >= uint64(n) || len(ended) > 0 }); err != nil {
		cancel()
		return nil, err
	}
	return func() error {
		cancel()
		err := <-ended
		if got := c.Stats().Acked; got < uint64(n) {
			err = errors.Join(err, fmt.Errorf("%d of %d messages were acked", got, n))
		}
		return err
	}, nil
}
