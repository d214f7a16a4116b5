package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

// sizes say how much is measured.
type sizes struct {
	runs     int
	messages int           // over a network
	local    int           // in memory
	idle     time.Duration // how long idle clients are watched
	held     int           // leases that are held
	hold     time.Duration // how long they are watched
	backlog  int           // the largest
	top      int           // the highest concurrency
}

// env is what the cases run in: the servers, each a process of its own.
type env struct {
	sizes sizes
	dir   string // for files
	exe   string // this program, to start as a server

	names     atomic.Int64
	elasticMQ string
	pubsub    string
	postgres  string
	redis     string
	closers   []func() error
}

// bodySize is the size of every message.
const bodySize = 256

// name is a name that is used once.
func (e *env) name(of string) string {
	return fmt.Sprintf("%s-%d-%d", of, time.Now().UnixNano(), e.names.Add(1))
}

// startSQS starts ElasticMQ, the fastest server with SQS's interface that can be
// had here, where that has not happened, and warms it: a cold JVM is many times
// slower than a warm one.
func startSQS(ctx context.Context, e *env) error {
	if e.elasticMQ != "" {
		return nil
	}
	s, _, err := testserver.Launch(ctx, "elasticmq")
	if err != nil {
		return err
	}
	e.closers = append(e.closers, s.Close)
	e.elasticMQ = s.URL
	runs := warmRuns
	if e.sizes.runs == 1 { // a smoke run
		runs = 1
	}
	for range runs {
		if _, err := consumeSQS(rawPipelined, sqsLoad{concurrency: 32})(ctx, e); err != nil {
			return fmt.Errorf("warm ElasticMQ: %w", err)
		}
		if _, err := sendSQS(sendRawBatch(senders, true))(ctx, e); err != nil {
			return fmt.Errorf("warm ElasticMQ: %w", err)
		}
	}
	return nil
}

// warmRuns is how many runs warm ElasticMQ. Its rate rises to three times that of the first
// runs until 300,000 messages were consumed: the JVM still compiles.
const warmRuns = 10

// startPubSub starts the fake of Pub/Sub, where that has not happened.
func startPubSub(ctx context.Context, e *env) error {
	if e.pubsub != "" {
		return nil
	}
	addr, stop, err := spawn(ctx, e.exe)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, stop)
	e.pubsub = addr
	return nil
}

// close ends the servers.
func (e *env) close() error {
	var all []error
	for _, c := range e.closers {
		all = append(all, c())
	}
	return errors.Join(all...)
}

// tick is how often a run looks whether it is done. It costs the peers the same.
const tick = time.Millisecond

// until waits until done.
func until(ctx context.Context, done func() bool) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for !done() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// work is what a handler does: nothing, or to wait as for a database.
func work(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	<-t.C
}
