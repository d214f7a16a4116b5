package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/outbox"
)

// A post has the queues that a relay sends to: in memory, and some fail.
type post struct {
	opener mem.Opener
	mu     sync.Mutex
	down   map[string]error
	opened atomic.Int32
}

func (p *post) open(ctx context.Context, queue string) (drivers.Sink, error) {
	p.opened.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.down[queue]; err != nil {
		return nil, err
	}
	return p.opener.Sink(ctx, queue, nil)
}

func (p *post) fail(queue string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down == nil {
		p.down = make(map[string]error)
	}
	p.down[queue] = err
}

// receive returns n messages of a queue.
func (p *post) receive(t *testing.T, queue string, n int) (out []*handler.Message) {
	t.Helper()
	s, err := p.opener.Source(t.Context(), queue, nil)
	require.NoError(t, err)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(out) < n {
		ds, err := s.Receive(ctx, min(10, n-len(out)), time.Second)
		require.NoError(t, err)
		for _, d := range ds {
			out = append(out, d.Message)
			require.NoError(t, ack(t, s, d))
		}
	}
	return out
}

// run runs a relay until the test ends.
func run(t *testing.T, table *outbox.Table, c *outbox.RelayConfig) {
	t.Helper()
	r, err := outbox.NewRelay(table, c)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
}

func TestARelayDelivers(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		p := new(post)
		run(t, table, &outbox.RelayConfig{Open: p.open, Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond}})
		in(t, db, func(tx *sql.Tx) {
			require.NoError(t, table.Send(t.Context(), tx, "orders",
				&handler.Message{Body: []byte("o"), Group: "g", DedupeID: "d", Attributes: map[string]string{"k": "v"}}))
			require.NoError(t, table.Send(t.Context(), tx, "mails", message("m")))
		})
		o := p.receive(t, "orders", 1)[0]
		require.Equal(t, "o g d v 1", fmt.Sprint(string(o.Body), " ", o.Group, " ", o.DedupeID, " ", o.Attribute("k"), " ", o.Attempt))
		m := p.receive(t, "mails", 1)[0]
		require.NotEmpty(t, m.DedupeID, "a row has an identity")
		require.Empty(t, m.Attributes)
		require.Eventually(t, func() bool { return len(bodies(t, table)) == 0 }, 10*time.Second, 5*time.Millisecond)
		require.EqualValues(t, 2, p.opened.Load(), "each queue is opened once")
	})
}

// A queue that is down holds back its own rows, which wait without a hot loop and with
// their error, and arrive in the end.
func TestAQueueThatIsDown(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		p := new(post)
		p.fail("down", errors.New("nobody there\x00\xff"))
		run(t, table, &outbox.RelayConfig{Open: p.open, Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond}})
		for i := range 3 {
			require.NoError(t, table.Send(t.Context(), db, "down", &handler.Message{Body: fmt.Append(nil, i), Group: "g"}))
		}
		require.NoError(t, table.Send(t.Context(), db, "up", &handler.Message{Body: []byte("u"), Group: "g"}))
		p.receive(t, "up", 1)
		require.Eventually(t, func() bool {
			es, err := table.Pending(t.Context(), 0, "down")
			require.NoError(t, err)
			require.Len(t, es, 3)
			return es[0].Error != "" && es[0].Message.Attempt >= 2
		}, time.Minute, 10*time.Millisecond)
		es, err := table.Pending(t.Context(), 0, "down")
		require.NoError(t, err)
		require.Contains(t, es[0].Error, "nobody there")
		require.Less(t, p.opened.Load(), int32(10), "a hot loop")
		p.fail("down", nil)
		for i, m := range p.receive(t, "down", 3) {
			require.Equal(t, fmt.Sprint(i), string(m.Body), "in order")
			require.Equal(t, 1, m.Attempt)
		}
	})
}

// A row that can't be sent is never given up, and holds back its group: the log has it, once
// a minute.
func TestARowThatCantBeSentIsLogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, level, text string
		err               error
	}{
		{"refused", "ERROR", "the queue refuses a message of the outbox", &drivers.Error{Code: drivers.Invalid, Err: errors.New("too large")}},
		{"down", "WARN", "a message of the outbox could not be sent", errors.New("nobody there")},
		{"damaged", "WARN", "a message of the outbox could not be sent", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
				p := new(post)
				p.fail("orders", c.err)
				for range 3 {
					require.NoError(t, table.Send(t.Context(), db, "orders", &handler.Message{Body: []byte("x")}))
				}
				if c.err == nil {
					_, err := db.ExecContext(t.Context(), "UPDATE sluice_outbox SET message = '{' WHERE queue = 'orders'")
					require.NoError(t, err)
				}
				records := new(output.Buffer)
				run(t, table, &outbox.RelayConfig{Open: p.open, Logger: slog.New(slog.NewTextHandler(records, nil)),
					Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond, Lease: 100 * time.Millisecond}})
				require.Eventually(t, func() bool {
					es, err := table.Pending(t.Context(), 0, "orders")
					require.NoError(t, err)
					return len(es) == 3 && es[0].Message.Attempt >= 2 && es[2].Message.Attempt >= 1 && strings.Contains(records.String(), c.text)
				}, time.Minute, 10*time.Millisecond)
				require.Equal(t, 1, strings.Count(records.String(), c.text), records.String())
				require.Contains(t, records.String(), "level="+c.level)
				require.Contains(t, records.String(), "queue=orders")
			})
		})
	}
}

func TestADelayComesByTheTable(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		p := new(post)
		run(t, table, &outbox.RelayConfig{Open: p.open, Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond}})
		under, err := p.opener.Sink(t.Context(), "q", nil)
		require.NoError(t, err)
		sink, err := outbox.Delayed(noDelay{under}, table, "q")
		require.NoError(t, err)
		require.Equal(t, drivers.Unlimited, sink.Capabilities().MaxSendDelay)
		begin := time.Now()
		ms := []*handler.Message{{Body: []byte("later"), Delay: 500 * time.Millisecond}, {Body: []byte("now")}}
		require.Nil(t, sink.Send(t.Context(), ms))
		require.Equal(t, "now", string(p.receive(t, "q", 1)[0].Body))
		m := p.receive(t, "q", 1)[0]
		require.GreaterOrEqual(t, time.Since(begin), 500*time.Millisecond)
		require.Equal(t, "later", string(m.Body))
		require.Equal(t, 1, m.Attempt)
		require.NoError(t, sink.Close())
	})
}

// noDelay is a queue like Pub/Sub's, which cannot delay.
type noDelay struct{ drivers.Sink }

func (s noDelay) Capabilities() drivers.Capabilities {
	c := s.Sink.Capabilities()
	c.MaxSendDelay = 0
	return c
}

func TestARelayWithoutATable(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		missing, err := outbox.New(db, dialectOf(table), &outbox.Config{Table: "missing"})
		require.NoError(t, err)
		r, err := outbox.NewRelay(missing, &outbox.RelayConfig{Open: new(post).open})
		require.NoError(t, err)
		require.ErrorIs(t, r.Run(t.Context()), drivers.ErrNotFound)
		_, err = outbox.NewRelay(nil, nil)
		require.ErrorContains(t, err, "the table is nil")
		require.ErrorContains(t, err, "Open is nil")
	})
}

func TestARelayThatIsStoppedWhileItBegins(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, table *outbox.Table) {
		r, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: new(post).open})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, r.Run(ctx))
	})
}

func TestAnAbortedRelayReturns(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, table *outbox.Table) {
		r, err := outbox.NewRelay(table, &outbox.RelayConfig{Open: new(post).open})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- r.Run(context.Background()) }()
		require.Eventually(t, func() bool { return r.Health().Ready() }, 30*time.Second, 5*time.Millisecond)
		r.Abort()
		require.NoError(t, <-done)
	})
}

// The consumers of the queue, and not the relay, drop or dead-letter what has expired.
func TestARelaySendsWhatHasExpired(t *testing.T) {
	t.Parallel()
	_, table := open(t, outbox.SQLite)
	p := new(post)
	run(t, table, &outbox.RelayConfig{Open: p.open, Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond}})
	for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)} {
		m := message("late")
		m.SetExpires(at)
		require.NoError(t, table.Send(t.Context(), nil, "orders", m))
		got, ok := p.receive(t, "orders", 1)[0].Expires()
		require.True(t, ok)
		require.True(t, at.Equal(got))
	}
}
