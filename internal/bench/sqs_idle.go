package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/pubsub/awssnssqs"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
)

// burst is how many messages come before the second idle time.
const burst = 1000

// An idler consumes until ctx is done and counts what it has handled. It calls
// opened when it is about to ask for messages: what opening a queue takes, it
// takes once.
type idler func(ctx context.Context, q *queue, opened func(), handled *atomic.Int64) error

// sqsIdleCases are one case: what consumers ask while nothing comes. All peers
// are watched at the same time, several of each, since only requests count.
func sqsIdleCases(idle time.Duration) []experiment {
	idlers := []struct {
		name string
		run  idler
	}{{sluice, idleSluice}, {"raw SDK loop", idleRaw}, {gocloudSQS, idleGocloud}}
	var watched sync.Mutex
	samples := map[string][]sample{}
	watch := func(ctx context.Context, e *env) error {
		if err := startSQS(ctx, e); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return split(len(idlers)*e.sizes.runs, len(idlers)*e.sizes.runs, func() func(int) error {
			var next atomic.Int64
			return func(int) error {
				p := idlers[int(next.Add(1)-1)%len(idlers)]
				s, err := watchIdle(ctx, e, p.run)
				watched.Lock()
				defer watched.Unlock()
				samples[p.name] = append(samples[p.name], s)
				return err
			}
		}())
	}
	x := experiment{id: "sqs-idle", title: fmt.Sprintf("SQS idle, requests in %v, and in the %v after a burst", idle, idle), open: watch}
	for _, p := range idlers {
		var next int
		x.peers = append(x.peers, peer{p.name, func(context.Context, *env) (sample, error) {
			next++
			return samples[p.name][next-1], nil
		}})
	}
	return []experiment{x}
}

// watchIdle counts the requests of a consumer that finds nothing, lets it
// consume a burst, and counts once more.
func watchIdle(ctx context.Context, e *env, run idler) (s sample, err error) {
	q, err := newQueue(ctx, e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.close(ctx)) }()
	ctx, cancel := context.WithCancel(ctx)
	var handled atomic.Int64
	ended := make(chan error, 1)
	opened := make(chan struct{})
	go func() { ended <- run(ctx, q, sync.OnceFunc(func() { close(opened) }), &handled) }()
	select {
	case <-opened:
	case err := <-ended:
		cancel()
		return nil, err
	}
	count := func() (int64, error) {
		before := q.counts.since(nil)
		t := time.NewTimer(e.sizes.idle)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		return total(q.counts.since(before)), nil
	}
	idle, err := count()
	after := int64(0)
	if err == nil {
		err = q.fill(ctx, burst)
	}
	if err == nil {
		err = until(ctx, func() bool { return handled.Load() >= burst })
	}
	if err == nil {
		after, err = count()
	}
	cancel()
	if rerr := <-ended; err == nil && !errors.Is(rerr, context.Canceled) {
		err = rerr
	}
	return sample{metricIdle: float64(idle), metricBurst: float64(after)}, err
}

func idleSluice(ctx context.Context, q *queue, opened func(), handled *atomic.Int64) error {
	src, err := q.opener().OpenSource(ctx, q.address(), nil)
	if err != nil {
		return err
	}
	c, err := consumer.New(src, handler.HandlerFunc(func(context.Context, *handler.Message) error {
		handled.Add(1)
		return nil
	}), &consumer.Config{Concurrency: 32})
	if err != nil {
		return err
	}
	opened()
	return c.Run(ctx)
}

func idleRaw(ctx context.Context, q *queue, opened func(), handled *atomic.Int64) error {
	opened()
	return split(pollers, pollers, func(int) error {
		for {
			ms, err := q.receive(ctx, 20*time.Second)
			if err != nil {
				return err
			}
			receipts := make([]*string, len(ms))
			for i := range ms {
				receipts[i] = ms[i].ReceiptHandle
			}
			if len(ms) == 0 {
				continue
			}
			if err := q.remove(ctx, receipts); err != nil {
				return err
			}
			handled.Add(int64(len(ms)))
		}
	})
}

func idleGocloud(ctx context.Context, q *queue, opened func(), handled *atomic.Int64) error {
	sub := awssnssqs.OpenSubscription(ctx, q.api, q.url, &awssnssqs.SubscriptionOptions{Raw: true})
	opened()
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return errors.Join(err, sub.Shutdown(end))
		}
		m.Ack()
		handled.Add(1)
	}
}
