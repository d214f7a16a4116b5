package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// queue is a drivers.Source in memory at the Go interface, so that it works in a
// synctest bubble. Its fields are set before it is used; it records its
// requests.
type queue struct {
	caps drivers.Capabilities
	// latency is how long each request takes.
	latency time.Duration
	// Each hook, if set, can refuse a request.
	onReceive    func(n int) error
	onSettle     func(s drivers.Settlement) error
	onExtend     func(e drivers.Extension) error
	unknownDepth bool
	// fifo delivers in the order of sending, and holds back a group while one of
	// its messages is in flight or waits for its retry, as SQS does.
	fifo bool

	mu       sync.Mutex
	visible  []*entry
	flying   map[string]*entry
	hidden   []*entry
	changed  chan struct{}
	seq      int
	closed   int
	receives []request
	settles  [][]drivers.Settlement
	extends  [][]drivers.Extension
	letters  []drivers.Settlement
	polling  int
	maxPolls int
}

type entry struct {
	seq      int
	message  handler.Message
	at       time.Time // visible again
	deadline time.Time
	tries    int
}

type request struct {
	at   time.Time
	max  int
	wait time.Duration
	got  int
}

func newQueue(n int) *queue {
	q := &queue{
		caps: drivers.Capabilities{
			Queue: "orders", System: "test", MaxReceive: 10, MaxSettle: 10, MaxExtend: 10, MaxSend: 10,
			Lease: 30 * time.Second, MaxDelay: 12 * time.Hour, MaxExtension: 12 * time.Hour, MaxLease: 12 * time.Hour,
			DeadLetter: true, AttemptKnown: true, StaleReceiptFails: true, StaleReceiptHarmless: true,
		},
		flying:  make(map[string]*entry),
		changed: make(chan struct{}),
	}
	q.add(n, "")
	return q
}

// add puts n messages of a group on the queue.
func (q *queue) add(n int, group string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range n {
		q.seq++
		q.visible = append(q.visible, &entry{seq: q.seq, message: handler.Message{
			ID: fmt.Sprintf("m%d", q.seq), Body: []byte("body"), Group: group,
		}})
	}
	q.wake()
}

func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// ripen moves back the messages that have become visible by the clock. q.mu is held.
func (q *queue) ripen(now time.Time) (next time.Time) {
	keep := q.hidden[:0]
	for _, e := range q.hidden {
		if now.Before(e.at) {
			keep = append(keep, e)
			if next.IsZero() || e.at.Before(next) {
				next = e.at
			}
			continue
		}
		q.visible = append(q.visible, e)
	}
	q.hidden = keep
	for r, e := range q.flying {
		if now.Before(e.deadline) {
			if next.IsZero() || e.deadline.Before(next) {
				next = e.deadline
			}
			continue
		}
		delete(q.flying, r)
		q.visible = append(q.visible, e)
	}
	return next
}

func (q *queue) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	began := time.Now()
	q.mu.Lock()
	q.polling++
	q.maxPolls = max(q.maxPolls, q.polling)
	at := len(q.receives)
	q.receives = append(q.receives, request{at: began, max: n, wait: wait})
	hook := q.onReceive
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.polling--
		q.mu.Unlock()
	}()
	if hook != nil {
		if err := hook(n); err != nil {
			return nil, err
		}
	}
	pause(q.latency)
	for {
		q.mu.Lock()
		now := time.Now()
		next := q.ripen(now)
		if es := q.take(n); len(es) > 0 {
			ds := make([]drivers.Delivery, len(es))
			for i, e := range es {
				e.tries++
				q.seq++
				m := e.message
				m.Attempt = e.tries
				receipt := fmt.Sprintf("r%d", q.seq)
				e.deadline = now.Add(q.caps.Lease)
				q.flying[receipt] = e
				// The request's way counts against the lease.
				ds[i] = drivers.Delivery{Message: &m, Receipt: receipt, Deadline: e.deadline.Add(-q.latency)}
			}
			q.receives[at].got = len(es)
			q.mu.Unlock()
			return ds, nil
		}
		changed := q.changed
		q.mu.Unlock()
		left := wait - now.Sub(began)
		if left <= 0 {
			return nil, nil
		}
		if !next.IsZero() {
			left = min(left, next.Sub(now))
		}
		t := time.NewTimer(left)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// take takes up to n messages that may be delivered. q.mu is held.
func (q *queue) take(n int) []*entry {
	if !q.fifo {
		n = min(n, len(q.visible))
		es := q.visible[:n]
		q.visible = q.visible[n:]
		return es
	}
	blocked := map[string]bool{}
	for _, e := range q.flying {
		blocked[e.message.Group] = true
	}
	for _, e := range q.hidden {
		blocked[e.message.Group] = true
	}
	slices.SortFunc(q.visible, func(a, b *entry) int { return a.seq - b.seq })
	var es, rest []*entry
	for _, e := range q.visible {
		if len(es) < n && (e.message.Group == "" || !blocked[e.message.Group]) {
			es = append(es, e)
		} else {
			rest = append(rest, e)
		}
	}
	q.visible = rest
	return es
}

func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func (q *queue) Settle(_ context.Context, ss []drivers.Settlement) []error {
	pause(q.latency)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settles = append(q.settles, append([]drivers.Settlement(nil), ss...))
	now := time.Now()
	q.ripen(now)
	errs := make([]error, len(ss))
	for i, s := range ss {
		if q.onSettle != nil {
			if errs[i] = q.onSettle(s); errs[i] != nil {
				continue
			}
		}
		e, ok := q.flying[s.Receipt]
		if !ok {
			errs[i] = drivers.ErrLeaseLost
			continue
		}
		if s.Action == handler.ActionRetry && !s.Delayed {
			continue // the lease runs down
		}
		delete(q.flying, s.Receipt)
		switch s.Action {
		case handler.ActionDeadLetter:
			q.letters = append(q.letters, s)
		case handler.ActionRetry:
			e.at = now.Add(s.Delay)
			q.hidden = append(q.hidden, e)
		case handler.ActionAck, handler.ActionDrop:
		}
	}
	q.wake()
	return errs
}

func (q *queue) Extend(_ context.Context, es []drivers.Extension) []error {
	pause(q.latency)
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ripen(now)
	q.extends = append(q.extends, append([]drivers.Extension(nil), es...))
	errs := make([]error, len(es))
	for i, e := range es {
		if q.onExtend != nil {
			if errs[i] = q.onExtend(e); errs[i] != nil {
				continue
			}
		}
		if f, ok := q.flying[e.Receipt]; ok {
			f.deadline = now.Add(e.By)
		} else {
			errs[i] = drivers.ErrLeaseLost
		}
	}
	return errs
}

func (q *queue) Capabilities() drivers.Capabilities { return q.caps }

func (q *queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed++
	return nil
}

func (q *queue) Depth(context.Context) (drivers.Depth, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.unknownDepth {
		return drivers.Depth{Visible: drivers.Unknown, InFlight: drivers.Unknown, Delayed: drivers.Unknown, DeadLetters: drivers.Unknown}, nil
	}
	q.ripen(time.Now())
	return drivers.Depth{
		Visible: int64(len(q.visible)), InFlight: int64(len(q.flying) + len(q.hidden)), DeadLetters: int64(len(q.letters)),
	}, nil
}

func (q *queue) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

// requests counts the requests of each kind.
func (q *queue) requests() (receives, settles, extends int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.receives), len(q.settles), len(q.extends)
}

// locked calls f while no request is answered.
func (q *queue) locked(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
}
