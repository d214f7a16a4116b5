package drivertest

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func concurrencyRules() []Rule {
	return []Rule{
		{"CONC-1", "Concurrent receives on one source share the messages: each goes to one of them.", receiversShare},
		{"CONC-2", "Two sources of one queue share its messages.", sourcesShare},
		{"CONC-3", "Concurrent receives, extensions and settlements do not disturb each other.", everythingAtOnce},
		{"CONC-4", "Concurrent sends each send their own.", sendersShare},
		{"CONC-5", "A delivery can be settled while a receive waits.", settleWhileReceiving},
	}
}

// concurrently runs n calls of f together and joins the errors. Functions that
// run concurrently must not end the check.
func concurrently(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A tally counts deliveries by body.
type tally struct {
	mu sync.Mutex
	by map[string]int
}

func newTally() *tally { return &tally{by: map[string]int{}} }

func (t *tally) add(body string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by[body]++
}

func (t *tally) total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.by)
}

// eachOnce fails unless n messages were delivered, once each.
func (t *tally) eachOnce(c *check, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	require.Len(c, t.by, n, "messages delivered")
	for body, times := range t.by {
		require.Equal(c, 1, times, "deliveries of message %q", body)
	}
}

func nothingToDo(drivers.Delivery) error { return nil }

func receiversShare(c *check) {
	b := c.queue(QueueOptions{})
	const n = 40
	b.sendN(n)
	seen := newTally()
	require.NoError(c, concurrently(4, func(int) error { return b.drain(b.src, seen, n, nothingToDo) }))
	seen.eachOnce(c, n)
}

func sourcesShare(c *check) {
	b := c.queue(QueueOptions{})
	sources := []drivers.Source{b.src, b.source()}
	const n = 30
	b.sendN(n)
	seen := newTally()
	require.NoError(c, concurrently(2, func(i int) error { return b.drain(sources[i], seen, n, nothingToDo) }))
	seen.eachOnce(c, n)
}

func everythingAtOnce(c *check) {
	b := c.queue(QueueOptions{})
	const n = 60
	b.sendN(n)
	seen := newTally()
	require.NoError(c, concurrently(6, func(int) error {
		return b.drain(b.src, seen, n, func(d drivers.Delivery) error {
			if errs := b.tryExtend(d); errors.Join(errs...) != nil {
				return errors.Join(errs...)
			}
			return errors.Join(b.src.Settle(c.ctx, []drivers.Settlement{ack(d)})...)
		})
	}))
	seen.eachOnce(c, n)
	b.nothing(time.Second, "every message was acked")
}

func sendersShare(c *check) {
	b := c.queue(QueueOptions{})
	const senders, each = 6, 5
	ms := numbered(senders * each)
	batches := slices.Collect(slices.Chunk(ms, each))
	require.NoError(c, concurrently(senders, func(i int) error {
		for _, m := range batches[i] {
			if err := errors.Join(b.sink.Send(c.ctx, messages(m))...); err != nil {
				return err
			}
		}
		return nil
	}))
	require.Len(c, byBody(b.receive(len(ms))), len(ms))
}

func settleWhileReceiving(c *check) {
	b := c.queue(QueueOptions{})
	b.send(text("held"))
	d := b.receiveOne()
	out := b.receiving(c.ctx, b.src, 1, drivers.MaxWait)
	b.mustStillWait(out)
	b.settle(release(d))
	select {
	case r := <-out:
		require.NoError(c, r.err)
		require.Equal(c, []string{"held"}, bodies(r.ds))
	case <-time.After(drivers.MaxWait / 2):
		c.fatalf("a message that was given back did not wake the receive that waits for one")
	}
}
