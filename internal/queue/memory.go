package queue

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue/internal/store"
)

// Memory is an [Engine] that keeps everything in memory. Each operation visits
// only the messages that it affects: the cost for one message does not depend
// on how many there are, except for the logarithm of the number that are hidden
// with unusual delays.
type Memory struct {
	ticker ticker
	done   chan struct{} // closed by Close
	tasks  sync.WaitGroup

	mu       sync.Mutex
	moment   store.Moment // that of the operation which holds mu
	closed   bool
	queues   map[string]*memQueue
	running  map[string]*memTask // by handle
	delivery uint64
	taken    []*entry // for take to use again
}

var _ Engine = (*Memory)(nil)

// NewMemory returns an engine with no queues.
func NewMemory(c Clock) *Memory {
	return &Memory{
		ticker:  newTicker(c),
		done:    make(chan struct{}),
		queues:  map[string]*memQueue{},
		running: map[string]*memTask{},
		// Receipts of an earlier engine must not match.
		delivery: rand.Uint64() >> 1, // unlikely is enough
	}
}

// now begins an operation. m.mu is held.
func (m *Memory) now() int64 {
	m.moment = m.ticker.moment()
	return m.moment.At
}

func (m *Memory) nextDelivery() uint64 {
	m.delivery++
	return m.delivery
}

// enter locks the engine and finds the queue; leave with m.mu.Unlock if there
// is no error.
func (m *Memory) enter(ctx context.Context, name string) (*memQueue, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	q, err := m.find(name)
	if err != nil {
		m.mu.Unlock()
		return nil, 0, err
	}
	now := m.now()
	q.advance(now)
	return q, now, nil
}

func (m *Memory) find(name string) (*memQueue, error) {
	if m.closed {
		return nil, ErrClosed
	}
	q := m.queues[name]
	if q == nil {
		return nil, fmt.Errorf("queue %q: %w", name, ErrNotFound)
	}
	return q, nil
}

// Create implements [Engine].
func (m *Memory) Create(ctx context.Context, name string, c Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Validate(name); err != nil {
		return err
	}
	c = c.WithDefaults()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if q := m.queues[name]; q != nil {
		if !q.config.Equal(&c) {
			return fmt.Errorf("queue %q: %w", name, ErrExists)
		}
		return nil
	}
	m.now()
	m.queues[name] = &memQueue{
		engine: m, name: name, config: c, created: m.moment.Now,
		groups: map[string]*group{}, age: timeline{kind: byAge},
	}
	return nil
}

// Config implements [Engine].
func (m *Memory) Config(ctx context.Context, name string) (Config, time.Time, error) {
	q, _, err := m.enter(ctx, name)
	if err != nil {
		return Config{}, time.Time{}, err
	}
	defer m.mu.Unlock()
	return q.config.WithDefaults(), q.created, nil
}

// Configure implements [Engine].
func (m *Memory) Configure(ctx context.Context, name string, c Config) error {
	if err := c.Validate(name); err != nil {
		return err
	}
	q, now, err := m.enter(ctx, name)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	reshape := q.config.Ordered != c.Ordered || q.config.Lax != c.Lax
	q.config = c.WithDefaults()
	if reshape {
		q.reshape()
	}
	q.advance(now)
	q.bell.Ring() // another retention is another next event
	return nil
}

// Remove implements [Engine].
func (m *Memory) Remove(ctx context.Context, name string) error {
	q, _, err := m.enter(ctx, name)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.queues, name)
	q.removed = true
	q.bell.RingAll()
	return nil
}

// List implements [Engine].
func (m *Memory) List(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	names := make([]string, 0, len(m.queues))
	for name := range m.queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Send implements [Engine].
func (m *Memory) Send(ctx context.Context, name string, ms []Message) ([]Message, error) {
	out := slices.Clone(ms)
	FillIDs(out)
	// Maps are copied outside the lock; bodies go into memory that entries have.
	var attributes []map[string]string
	for i := range ms {
		if len(ms[i].Attributes) > 0 {
			if attributes == nil {
				attributes = make([]map[string]string, len(ms))
			}
			attributes[i] = maps.Clone(ms[i].Attributes)
		}
	}
	q, now, err := m.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	q.seen.forget(now, q.config.DedupeWindow)
	for i := range out {
		if e := q.send(&out[i], now); e != nil && attributes != nil {
			e.attributes = attributes[i]
		}
	}
	q.flush()
	return out, nil
}

// Receive implements [Engine].
func (m *Memory) Receive(ctx context.Context, name string, r ReceiveRequest) ([]Received, error) {
	q, now, err := m.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	out := q.receive(now, &r)
	if len(out) > 0 || r.Wait <= 0 {
		return out, nil
	}
	deadline := store.Later(now, r.Wait)
	w := q.bell.Join()
	defer q.bell.Leave(w)
	for len(out) == 0 && now < deadline {
		q.bell.Alarm = min(q.nextEvent(), deadline)
		wait := time.Duration(q.bell.Alarm - now)
		m.mu.Unlock()
		select {
		case <-w.C:
		case <-m.ticker.after(wait):
		case <-ctx.Done():
		case <-m.done:
		}
		m.mu.Lock()
		if m.closed {
			return nil, ErrClosed
		}
		if q.removed {
			return nil, fmt.Errorf("queue %q: %w", name, ErrNotFound)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now = m.now()
		q.advance(now)
		out = q.receive(now, &r)
	}
	return out, nil
}

// each runs do for each of n receipts. It returns nil if all succeed, and
// otherwise an error, or nil, for each.
func (m *Memory) each(ctx context.Context, name string, n int, do func(q *memQueue, i int, now int64) error) []error {
	q, now, err := m.enter(ctx, name)
	if err != nil {
		return slices.Repeat([]error{err}, n)
	}
	defer m.mu.Unlock()
	defer q.flush()
	var errs []error
	for i := range n {
		if err := do(q, i, now); err != nil {
			if errs == nil {
				errs = make([]error, n)
			}
			errs[i] = err
		}
	}
	return errs
}

// Delete implements [Engine].
func (m *Memory) Delete(ctx context.Context, name string, receipts []string) []error {
	return m.each(ctx, name, len(receipts), func(q *memQueue, i int, _ int64) error {
		e := q.find(receipts[i])
		if e == nil {
			return ErrReceipt
		}
		q.remove(e)
		return nil
	})
}

// Change implements [Engine].
func (m *Memory) Change(ctx context.Context, name string, cs []Change) []error {
	return m.each(ctx, name, len(cs), func(q *memQueue, i int, now int64) error {
		e, newest, err := q.findAny(cs[i].Receipt)
		if err != nil {
			return err
		}
		if newest && cs[i].Release {
			q.release(e, cs[i].By, now)
			return nil
		}
		if cs[i].Release || (!newest || !e.hidden) && !q.config.AnyReceipt() {
			return ErrReceipt
		}
		q.change(e, store.Later(now, cs[i].By), now)
		return nil
	})
}

// Reject implements [Engine].
func (m *Memory) Reject(ctx context.Context, name string, rs []Rejection) []error {
	return m.each(ctx, name, len(rs), func(q *memQueue, i int, now int64) error {
		e := q.find(rs[i].Receipt)
		if e == nil {
			return ErrReceipt
		}
		to := q.deadLetters()
		if to == nil {
			return q.config.NoDeadLetter(q.name)
		}
		letter := Message{Attributes: rs[i].Attributes}
		(&arena{}).own(&letter)
		q.transfer(e, to, now, letter.Attributes, q.name)
		return nil
	})
}

// Peek implements [Engine].
func (m *Memory) Peek(ctx context.Context, name string, n int) ([]Message, error) {
	q, _, err := m.enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var out []Message
	for e := q.oldest; e != nil && len(out) < n; e = e.newer {
		c := e.message(m.moment)
		(&arena{}).own(&c)
		out = append(out, c)
	}
	return out, nil
}

// Stats implements [Engine].
func (m *Memory) Stats(ctx context.Context, name string) (Stats, error) {
	q, _, err := m.enter(ctx, name)
	if err != nil {
		return Stats{}, err
	}
	defer m.mu.Unlock()
	return q.stats(), nil
}

// Purge implements [Engine].
func (m *Memory) Purge(ctx context.Context, name string) error {
	q, _, err := m.enter(ctx, name)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	for q.oldest != nil {
		q.remove(q.oldest)
	}
	if q.config.Lax {
		q.seen = seen{}
	}
	q.flush()
	return nil
}

// Close implements [Engine]. It waits for move tasks to stop. A second call
// returns nil.
func (m *Memory) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	m.mu.Unlock()
	m.tasks.Wait()
	return nil
}

// StartMove implements [Engine].
func (m *Memory) StartMove(ctx context.Context, source, destination string, rate int) (Task, error) {
	if source == destination {
		return Task{}, fmt.Errorf("queue %q: %w: the queue cannot be moved to itself", source, ErrConfig)
	}
	q, _, err := m.enter(ctx, source)
	if err != nil {
		return Task{}, err
	}
	defer m.mu.Unlock()
	if destination != "" {
		if _, err := m.find(destination); err != nil {
			return Task{}, err
		}
	}
	if n := len(q.moves); n > 0 && q.moves[n-1].Status == TaskRunning {
		return Task{}, fmt.Errorf("queue %q: %w", source, ErrTaskRunning)
	}
	t := &memTask{
		Task: Task{
			Handle: store.NewHandle(), Source: source, Destination: destination, Rate: rate,
			Status: TaskRunning, ToMove: q.stats().Visible, Started: m.moment.Now,
		},
		source: q, begin: m.moment.At, limit: q.sequence, stop: make(chan struct{}),
	}
	q.cursor = q.oldest
	if len(q.moves) == store.KeepMoves {
		q.moves = append(q.moves[:0], q.moves[1:]...)
	}
	q.moves = append(q.moves, t)
	m.running[t.Handle] = t
	m.tasks.Go(func() { m.run(t) })
	return t.Task, nil
}

func (m *Memory) run(t *memTask) {
	for {
		m.mu.Lock()
		n, wait := store.Pace(t.Rate, t.Moved, time.Duration(m.now()-t.begin))
		if wait == 0 && !m.closed && t.Status == TaskRunning {
			m.step(t, n)
		}
		running := !m.closed && t.Status == TaskRunning
		m.mu.Unlock()
		if !running {
			return
		}
		if wait > 0 {
			select {
			case <-m.ticker.after(wait):
			case <-t.stop:
			case <-m.done:
			}
		}
	}
}

// step moves up to n messages and ends the task after the last.
func (m *Memory) step(t *memTask, n int) {
	q, now := t.source, m.now()
	if q.removed {
		m.end(t, TaskFailed, fmt.Sprintf("queue %q was removed", q.name))
		return
	}
	q.advance(now)
	defer q.flush()
	for looked := 0; n > 0 && looked < store.LookStep; looked++ {
		e := q.cursor
		if e == nil || e.sequence > t.limit {
			break
		}
		if !q.movable(e) {
			q.cursor = e.newer
			continue
		}
		name := t.Destination
		if name == "" {
			name = e.source
		}
		to := m.queues[name]
		switch {
		case name == "":
			m.end(t, TaskFailed, fmt.Sprintf("message %q has no source: it was sent to queue %q directly", e.id, q.name))
			return
		case to == nil:
			m.end(t, TaskFailed, fmt.Sprintf("queue %q does not exist", name))
			return
		case to == q:
			m.end(t, TaskFailed, fmt.Sprintf("message %q came from queue %q itself", e.id, q.name))
			return
		}
		to.advance(now)
		q.transfer(e, to, now, e.attributes, "") // moves the cursor on
		t.Moved++
		n--
	}
	if e := q.cursor; e == nil || e.sequence > t.limit {
		m.end(t, TaskCompleted, "")
	}
}

func (m *Memory) end(t *memTask, s TaskStatus, failure string) {
	t.Status, t.Failure = s, failure
	t.source.cursor = nil
	delete(m.running, t.Handle)
}

// CancelMove implements [Engine].
func (m *Memory) CancelMove(ctx context.Context, handle string) (Task, error) {
	if err := ctx.Err(); err != nil {
		return Task{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Task{}, ErrClosed
	}
	t := m.running[handle]
	if t == nil {
		return Task{}, ErrTaskNotFound
	}
	m.end(t, TaskCanceled, "")
	close(t.stop)
	return t.Task, nil
}

// Moves implements [Engine].
func (m *Memory) Moves(ctx context.Context, source string) ([]Task, error) {
	q, _, err := m.enter(ctx, source)
	if err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var out []Task
	for i := len(q.moves) - 1; i >= 0; i-- {
		out = append(out, q.moves[i].Task)
	}
	return out, nil
}
