package queue

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Memory is an [Engine] that keeps everything in memory. No operation looks at
// more messages than it is about: the cost of one message does not depend on
// how many there are, but for the logarithm of how many are hidden with odd
// delays.
type Memory struct {
	ticker ticker
	done   chan struct{} // closed by Close
	tasks  sync.WaitGroup

	mu       sync.Mutex
	moment   moment // that of the operation which holds mu
	closed   bool
	queues   map[string]*memQueue
	running  map[string]*memTask // by handle
	delivery uint64
	taken    []*entry // for take to use again
}

var _ Engine = (*Memory)(nil)

// NewMemory returns an engine with no queues.
func NewMemory(o *Options) *Memory {
	return &Memory{
		ticker:  newTicker(o),
		done:    make(chan struct{}),
		queues:  map[string]*memQueue{},
		running: map[string]*memTask{},
		// Receipts of an engine that was there before must not fit.
		delivery: rand.Uint64() >> 1, // unlikely is enough
	}
}

// now begins an operation. m.mu is held.
func (m *Memory) now() int64 {
	m.moment = m.ticker.moment()
	return m.moment.at
}

func (m *Memory) nextDelivery() uint64 {
	m.delivery++
	return m.delivery
}

// enter locks the engine and finds the queue; leave with m.mu.Unlock where
// there is no error.
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
	if err := c.validate(name); err != nil {
		return err
	}
	c = c.withDefaults()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if q := m.queues[name]; q != nil {
		if !q.config.equal(&c) {
			return fmt.Errorf("queue %q: %w", name, ErrExists)
		}
		return nil
	}
	m.now()
	m.queues[name] = &memQueue{
		engine: m, name: name, config: c, created: m.moment.now,
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
	return q.config.withDefaults(), q.created, nil
}

// Configure implements [Engine].
func (m *Memory) Configure(ctx context.Context, name string, c Config) error {
	if err := c.validate(name); err != nil {
		return err
	}
	q, now, err := m.enter(ctx, name)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	reshape := q.config.Ordered != c.Ordered || q.config.Lax != c.Lax
	q.config = c.withDefaults()
	if reshape {
		q.reshape()
	}
	q.advance(now)
	q.bell.ring() // another retention is another next event
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
	q.bell.ringAll()
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
	fillIDs(out)
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
	q.forget(now)
	for i := range out {
		if e := q.send(&out[i], now); e != nil && attributes != nil {
			e.attributes = attributes[i]
		}
	}
	q.flush()
	return out, nil
}

// send stores m without its attributes, unless it is a duplicate, and completes
// it.
func (q *memQueue) send(m *Message, now int64) *entry {
	dedupe := q.config.DedupeWindow > 0 && m.DedupeID != ""
	key := dedupeKey{q.config.dedupeScope(m.Group), m.DedupeID}
	m.Receives, m.FirstReceived, m.Source, m.Exhausted = 0, time.Time{}, "", false
	if dedupe && !m.Again {
		if first, ok := q.seen[key]; ok && later(first.enqueuedAt, q.config.DedupeWindow) > now {
			m.ID, m.Sequence = first.id, first.sequence
			m.EnqueuedAt = q.engine.moment.show(first.enqueuedAt)
			m.VisibleAt = m.EnqueuedAt
			return nil
		}
	}
	delay := m.Delay
	if delay < 0 {
		delay = q.config.Delay
	}
	e := q.slab.get()
	e.id, e.body = m.ID, append(e.body, m.Body...)
	if len(m.Extra) > 0 {
		e.extra = bytes.Clone(m.Extra)
	}
	e.groupName, e.dedupeID, e.enqueuedAt, e.sentAt = m.Group, m.DedupeID, now, q.engine.moment.wall()
	q.add(e, later(now, delay), now)
	m.Sequence = e.sequence
	m.EnqueuedAt, m.VisibleAt = timeOf(e.sentAt), q.engine.moment.show(e.visibleAt)
	if dedupe {
		q.remember(key, sent{e.id, e.sequence, now})
	}
	return e
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
	deadline := later(now, r.Wait)
	w := q.bell.join()
	defer q.bell.leave(w)
	for len(out) == 0 && now < deadline {
		q.bell.alarm = min(q.nextEvent(), deadline)
		wait := time.Duration(q.bell.alarm - now)
		m.mu.Unlock()
		select {
		case <-w.c:
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

func (q *memQueue) receive(now int64, r *ReceiveRequest) []Received {
	visibility := r.Visibility
	if visibility < 0 {
		visibility = q.config.Visibility
	}
	q.forgetAttempts(now)
	if r.AttemptID != "" {
		if out := q.repeat(r.AttemptID, now, visibility); out != nil {
			return out
		}
	}
	taken := q.take(now, max(r.Max, 1), r.Spread)
	defer clear(taken)
	defer q.flush()
	if len(taken) == 0 {
		return nil
	}
	out := q.deliver(taken, now, visibility, r.Into)
	if r.AttemptID != "" {
		q.tryAgain(r.AttemptID, taken, now)
	}
	return out
}

// each runs what is to be done on each of n receipts, and returns an error for
// each where one has failed.
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
		if cs[i].Release || (!newest || !e.hidden) && !q.config.anyReceipt() {
			return ErrReceipt
		}
		q.change(e, later(now, cs[i].By), now)
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
			return q.config.noDeadLetter(q.name)
		}
		letter := Message{Attributes: rs[i].Attributes}
		letter.own(&arena{})
		q.transfer(e, to, now, letter.Attributes, q.name)
		return nil
	})
}

// noDeadLetter says why a message cannot be dead-lettered.
func (c *Config) noDeadLetter(name string) error {
	if c.DeadLetter == "" {
		return fmt.Errorf("queue %q: %w", name, ErrNoDeadLetter)
	}
	return fmt.Errorf("queue %q: %w: %q does not exist", name, ErrNoDeadLetter, c.DeadLetter)
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
		c.own(&arena{})
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
		q.seen, q.seenLog = nil, fifo[dedupeKey]{}
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
