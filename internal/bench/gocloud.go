package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/pubsub"
)

// runGocloud is the loop that gocloud.dev's documentation shows: one receiver,
// and a goroutine a message, bounded by a semaphore. It returns when n messages
// are acked, since Shutdown sends the acks that are left.
func runGocloud(ctx context.Context, sub *pubsub.Subscription, n, concurrency int, w time.Duration) error {
	slots := make(chan struct{}, concurrency)
	var handlers sync.WaitGroup
	for range n {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		slots <- struct{}{}
		handlers.Go(func() {
			work(w)
			m.Ack()
			<-slots
		})
	}
	handlers.Wait()
	return sub.Shutdown(ctx)
}

// sendGocloud sends n messages from several goroutines, one a call, as its
// interface has it.
func sendGocloud(ctx context.Context, topic *pubsub.Topic, n, goroutines int) error {
	body := make([]byte, bodySize)
	for i := range body {
		body[i] = 'x'
	}
	return split(goroutines, n, func(n int) error {
		for range n {
			if err := topic.Send(ctx, &pubsub.Message{Body: body}); err != nil {
				return err
			}
		}
		return nil
	})
}

// receiveGocloud receives in as many goroutines as handle, which is the most that
// a subscription gives. Acks may still be on their way when it returns.
func receiveGocloud(ctx context.Context, sub *pubsub.Subscription, n, concurrency int, w time.Duration) error {
	var left atomic.Int64
	left.Store(int64(n))
	return split(concurrency, n, func(int) error {
		for left.Add(-1) >= 0 {
			m, err := sub.Receive(ctx)
			if err != nil {
				return err
			}
			work(w)
			m.Ack()
		}
		return nil
	})
}
