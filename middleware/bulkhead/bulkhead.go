// Package bulkhead is the middleware that limits how many messages of one key are handled
// concurrently, so that one busy customer, tenant or host cannot occupy all handlers of a
// process or overload a resource.
//
//	perTenant, err := bulkhead.New(4, func(m *handler.Message) string { return m.Attribute("tenant") }, nil)
//	h := handler.Chain(sync, perTenant)
//
// A message over its key's limit is postponed ([handler.Postpone]) until the ones
// before it should be done. It does not wait in its handler: that would occupy the
// very slots that a bulkhead is to keep free, while its lease ran down. The runtime
// holds it and spends no attempt, within the limits that package consumer
// documents. A key with a longer backlog needs a separate queue.
//
// The limit is one for each process. An ordered queue already handles the
// messages of a group one at a time, without a bulkhead.
//
// # Position
//
// Inside breaker, so that a message that it refuses needs no place, and outside
// ratelimit and idempotency, so that a postponed message holds neither token nor
// claim. Inside backoff it works too, but a message would hold its place while
// the idempotency store is queried; inside timeout, a message's time would run
// before it has its place.
package bulkhead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// ErrFull is in the error with which a message is postponed whose key has no
// place left.
var ErrFull = errors.New("bulkhead is full")

// Config has rarely needed settings. The zero Config has the defaults.
type Config struct {
	// Name is the bulkhead's, for errors. Empty means "bulkhead".
	Name string

	// Delay is the shortest time for which a message is postponed; it is longer
	// if others of its key are ahead of it. Zero means a second.
	Delay time.Duration
}

// New returns the middleware that handles at most limit messages of each key at
// a time. The key function is called concurrently, once a message; messages whose
// key is empty are not limited. A nil config has the defaults.
func New(limit int, key func(m *handler.Message) string, config *Config) (handler.Middleware, error) {
	c := setting.Copy(config)
	c.Name = cmp.Or(c.Name, "bulkhead")
	if err := errors.Join(
		setting.Positive("the limit", limit),
		setting.Refuse(key == nil, "the key function is nil"),
		setting.Default("Delay", &c.Delay, time.Second),
	); err != nil {
		return nil, fmt.Errorf("bulkhead %q: %w", c.Name, err)
	}
	b := &bulkhead{
		config: c, limit: limit, rooms: make(map[string]*room), usual: c.Delay,
		full: fmt.Errorf("%s: %w (limit %d)", c.Name, ErrFull, limit),
	}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			k := key(m)
			if k == "" {
				return next.Handle(ctx, m)
			}
			r, delay := b.enter(k)
			if r == nil {
				return handler.Postpone(delay, b.full)
			}
			start := time.Now()
			// Deferred, because a panic must give the place back too.
			defer func() { b.leave(k, r, time.Since(start)) }()
			return next.Handle(ctx, m)
		})
	}, nil
}

type bulkhead struct {
	config Config
	limit  int
	full   error

	mu    sync.Mutex
	rooms map[string]*room // of the keys that have messages in them
	usual time.Duration    // how long a handler takes, of late
}

// room is the part of the bulkhead that one key has.
type room struct {
	inside   int
	promised time.Time // when the next one to be turned away may come back
}

// enter takes a place, or says in how long to try again.
func (b *bulkhead) enter(key string) (r *room, delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r = b.rooms[key]
	if r == nil {
		r = &room{}
		b.rooms[key] = r
	}
	if r.inside < b.limit {
		r.inside++
		return r, 0
	}
	// Refused messages return one after the other, at the rate at which places should
	// become free. If all returned together, most would be refused repeatedly.
	now := time.Now()
	back := now.Add(b.config.Delay)
	if r.promised.After(back) {
		back = r.promised
	}
	r.promised = back.Add(b.usual / time.Duration(b.limit))
	return nil, back.Sub(now)
}

func (b *bulkhead) leave(key string, r *room, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.usual += (took - b.usual) / 8 // a moving average
	if r.inside--; r.inside == 0 {
		delete(b.rooms, key)
	}
}
