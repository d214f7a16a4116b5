package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// A durability says what a queue on disk keeps.
type durability string

// The durabilities.
const (
	// synced keeps what it took when the power fails: each commit waits for the
	// disk.
	synced durability = "synced"
	// written keeps what it took when its process is killed. A power failure can
	// undo the last moments.
	written durability = "written"
)

// A diskQueue is a queue on disk, or on a server that keeps it on disk.
type diskQueue interface {
	// send sends one message and returns when the queue has it. It is called
	// concurrently.
	send(ctx context.Context, body []byte) error
	// fill sends n messages by the quickest way there is.
	fill(ctx context.Context, n int) error
	// consume handles n messages with handlers that do nothing.
	consume(ctx context.Context, n, workers int) error
	close() error
}

// A diskPeer opens a new, empty queue.
type diskPeer struct {
	name string
	open func(ctx context.Context, e *env, d durability) (diskQueue, error)
}

// sluiceOnDisk is the name of our own rows on disk.
const sluiceOnDisk = sluice + ", sqlite"

var diskPeers = []diskPeer{
	{sluiceOnDisk, openSluiceDisk},
	{"goqite on SQLite", openGoqite},
	{"River on PostgreSQL", openRiver},
	{"asynq on Redis", openAsynq},
}

// diskCases are the embedded queue on disk beside what Go users would pick
// instead. Servers are processes of their own on the same machine, so that only
// the rate compares all peers: processor time and allocations are the client's.
func diskCases(backlog int) []experiment {
	var xs []experiment
	for _, d := range []durability{synced, written} {
		for _, workers := range []int{1, 16} {
			times := 1
			if workers == 1 {
				times = moreTimes
			}
			xs = append(xs, experiment{
				id:    fmt.Sprintf("disk-%s/produce/%d", d, workers),
				title: fmt.Sprintf("On disk, %s: produce, %d goroutines", d, workers),
				times: times,
				peers: onDisk(func(ctx context.Context, e *env, open openDisk) (sample, error) {
					return produceDisk(ctx, e, open, d, workers)
				}),
			}, experiment{
				id:    fmt.Sprintf("disk-%s/consume/%d", d, workers),
				title: fmt.Sprintf("On disk, %s: consume, no-op, %d workers", d, workers),
				peers: onDisk(func(ctx context.Context, e *env, open openDisk) (sample, error) {
					return consumeDisk(ctx, e, open, d, workers, 0)
				}),
			})
		}
	}
	for n := 1000; n <= backlog; n *= 10 {
		xs = append(xs, experiment{
			id: fmt.Sprintf("disk-backlog/%d", n), title: fmt.Sprintf("On disk, written: consume from a backlog of %d, 16 workers", n), runs: 1,
			peers: onDisk(func(ctx context.Context, e *env, open openDisk) (sample, error) {
				return consumeDisk(ctx, e, open, written, 16, n)
			}),
		})
	}
	return xs
}

type openDisk func(ctx context.Context, e *env, d durability) (diskQueue, error)

func onDisk(run func(ctx context.Context, e *env, open openDisk) (sample, error)) []peer {
	var ps []peer
	for _, p := range diskPeers {
		ps = append(ps, peer{p.name, func(ctx context.Context, e *env) (sample, error) { return run(ctx, e, p.open) }})
	}
	return ps
}

// diskMessages is how many messages a run handles: a synced commit takes milliseconds
// on many disks, and one worker waits for each.
func diskMessages(e *env, workers int) int {
	if workers == 1 {
		return max(e.sizes.messages/20, 50)
	}
	return max(e.sizes.messages/5, 100)
}

func produceDisk(ctx context.Context, e *env, open openDisk, d durability, workers int) (s sample, err error) {
	q, err := open(ctx, e, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	n, body := diskMessages(e, workers), make([]byte, bodySize)
	send := func(n int) error {
		return split(workers, n, func(n int) error {
			for range n {
				if err := q.send(ctx, body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	// A log that a database writes anew from its beginning does not grow: a commit is cheaper.
	if err := send(2 * n); err != nil {
		return nil, err
	}
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	if err := send(n); err != nil {
		return nil, err
	}
	return m.end(n)
}

// consumeDisk fills a queue and measures the consuming of some messages while the
// backlog, at least as many, is behind them.
func consumeDisk(ctx context.Context, e *env, open openDisk, d durability, workers, backlog int) (s sample, err error) {
	q, err := open(ctx, e, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.close()) }()
	n := diskMessages(e, workers)
	if err := q.fill(ctx, n+max(n, backlog)); err != nil {
		return nil, err
	}
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	if err := q.consume(ctx, n, workers); err != nil {
		return nil, err
	}
	return m.end(n)
}

// A sluiceDisk is Sluice's embedded queue in a file.
type sluiceDisk struct {
	sink     drivers.Sink
	producer *producer.Producer
	source   func(ctx context.Context) (drivers.Source, error)
}

func openSluiceDisk(ctx context.Context, e *env, d durability) (diskQueue, error) {
	path := filepath.Join(e.dir, e.name("sluice")+".db")
	o := &sqlite.Opener{Synchronous: d == synced}
	sink, err := o.Sink(ctx, path, "bench", nil)
	if err != nil {
		return nil, err
	}
	p, err := producer.New(sink, nil)
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	return &sluiceDisk{sink: sink, producer: p, source: func(ctx context.Context) (drivers.Source, error) {
		return o.Source(ctx, path, "bench", nil)
	}}, nil
}

func (q *sluiceDisk) send(ctx context.Context, body []byte) error {
	return q.producer.Send(ctx, &handler.Message{Body: body})
}

func (q *sluiceDisk) fill(ctx context.Context, n int) error { return fillSink(ctx, q.sink, n) }

func (q *sluiceDisk) consume(ctx context.Context, n, workers int) error {
	source, err := q.source(ctx)
	if err != nil {
		return err
	}
	done, err := runSluice(ctx, source, n, workers, 0)
	if err != nil {
		return err
	}
	return done()
}

func (q *sluiceDisk) close() error { return q.producer.Close() }

// A tally counts handled messages and says when there were enough.
type tally struct {
	n    atomic.Int64
	want int64
	done chan struct{}
}

func newTally(n int) *tally { return &tally{want: int64(n), done: make(chan struct{})} }

func (t *tally) add() {
	if t.n.Add(1) == t.want {
		close(t.done)
	}
}

func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
