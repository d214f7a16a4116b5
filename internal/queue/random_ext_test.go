package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// store is an engine that is compared with the model.
type store struct {
	queue.Engine
	name     string
	receipts map[int]string // by the model's delivery
	other    queue.Engine   // another engine of the same file, or nil
}

// machine does random things to the model and to both stores, and compares.
type machine struct {
	*rapid.T
	number int
	clock  *sqstest.ManualClock
	model  *model
	stores []*store
	sent   int
	// deliveries are those that were ever made, by queue.
	deliveries map[string][]int
}

// kinds are the queues that a machine has, each with the machine's number behind
// it: the stores are the same for all, because making a file takes longer than
// what is done with it.
var kinds = []string{"plain", "ordered", "letters", "dedupe"}

func (m *machine) named(kind string) string { return fmt.Sprintf("%s %d", kind, m.number) }

func newMachine(t *rapid.T, number int, c *sqstest.ManualClock, memory, file, other queue.Engine) *machine {
	m := &machine{T: t, number: number, clock: c, deliveries: map[string][]int{}}
	m.model = &model{now: c.Now(), queues: map[string]*modelQueue{}}
	m.stores = []*store{
		{Engine: memory, name: "memory", receipts: map[int]string{}},
		{Engine: file, name: "sqlite", receipts: map[int]string{}, other: other},
	}
	for _, kind := range kinds {
		name, c := m.named(kind), m.config(kind)
		m.model.queues[name] = &modelQueue{name: name, config: c, seen: map[[2]string]modelSeen{}, attempts: map[string]modelAttempt{}}
		for _, s := range m.stores {
			require.NoError(t, s.Create(t.Context(), name, c), s.name)
		}
	}
	t.Cleanup(func() {
		for _, s := range m.stores {
			for _, kind := range kinds {
				require.NoError(t, s.Remove(context.Background(), m.named(kind)))
			}
		}
	})
	return m
}

// config draws a configuration.
func (m *machine) config(kind string) queue.Config {
	c := queue.Config{
		Visibility: m.duration(time.Second, time.Minute, "visibility"),
		Retention:  m.duration(time.Minute, 10*time.Minute, "retention"),
		Lax:        rapid.Bool().Draw(m.T, "lax"),
	}
	if rapid.Bool().Draw(m.T, "has delay") {
		c.Delay = m.duration(0, 30*time.Second, "delay")
	}
	switch kind {
	case "ordered":
		c.Ordered = true
	case "dedupe":
		c.DedupeWindow = m.duration(time.Second, 5*time.Minute, "window")
		c.Ordered = rapid.Bool().Draw(m.T, "ordered")
		c.DedupePerGroup = rapid.Bool().Draw(m.T, "per group")
	}
	if kind != "letters" {
		c.DeadLetter = rapid.SampledFrom([]string{"", m.named("letters"), "nowhere"}).Draw(m.T, "dead letter")
		c.MaxReceives = rapid.IntRange(0, 4).Draw(m.T, "max receives")
	}
	return c
}

func (m *machine) duration(low, high time.Duration, label string) time.Duration {
	// Few different ones, so that things happen at the same time.
	return low + time.Duration(rapid.IntRange(0, 6).Draw(m.T, label))*(high-low)/6
}

func (m *machine) queue() string { return m.named(rapid.SampledFrom(kinds).Draw(m.T, "queue")) }

func (m *machine) Send(*rapid.T) {
	name := m.queue()
	ms := make([]queue.Message, rapid.IntRange(1, 6).Draw(m.T, "messages"))
	for i := range ms {
		m.sent++
		ms[i] = queue.Message{
			ID: fmt.Sprint("m", m.sent), Body: []byte(rapid.SampledFrom([]string{"", "body", "\x00\xff"}).Draw(m.T, "body")),
			Group:    rapid.SampledFrom([]string{"", "g", "h", "i"}).Draw(m.T, "group"),
			DedupeID: rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(m.T, "dedupe"),
			Delay:    rapid.SampledFrom([]time.Duration{0, 0, 0, -1, 10 * time.Second}).Draw(m.T, "delay"),
		}
		if rapid.IntRange(0, 9).Draw(m.T, "large") == 0 {
			ms[i].Body = make([]byte, 2000)
		}
		if rapid.Bool().Draw(m.T, "attributes") {
			ms[i].Attributes = map[string]string{"k": ms[i].ID}
		}
	}
	want := m.model.send(name, ms)
	for _, s := range m.stores {
		out, err := s.Send(m.Context(), name, ms)
		require.NoError(m, err, s.name)
		got := make([]string, len(out))
		for i := range out {
			got[i] = out[i].ID
		}
		require.Equal(m, want, got, s.name)
	}
}

func (m *machine) Receive(*rapid.T) {
	name := m.queue()
	r := queue.ReceiveRequest{
		Max:        rapid.IntRange(1, 8).Draw(m.T, "max"),
		Visibility: rapid.SampledFrom([]time.Duration{-1, 0, 10 * time.Second, time.Minute}).Draw(m.T, "visibility"),
		Spread:     rapid.Bool().Draw(m.T, "spread"),
		AttemptID:  rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(m.T, "attempt"),
	}
	want := m.model.receive(name, r)
	for _, s := range m.stores {
		got, err := s.Receive(m.Context(), name, r)
		require.NoError(m, err, s.name)
		require.Len(m, got, len(want), s.name)
		for i, x := range want {
			m.same(s, x, &got[i].Message)
			require.Equal(m, x.visibleAt.UnixNano(), got[i].Deadline.UnixNano(), s.name)
			s.receipts[x.delivery] = got[i].Receipt
		}
	}
	for _, x := range want {
		m.deliveries[name] = append(m.deliveries[name], x.delivery)
	}
}

func (m *machine) same(s *store, want *modelMessage, got *queue.Message) {
	if want.id == "" {
		require.NotEmpty(m, got.ID, s.name)
	} else {
		require.Equal(m, want.id, got.ID, s.name)
	}
	require.Equal(m, want.body, string(got.Body), s.name)
	require.Equal(m, want.group, got.Group, s.name)
	require.Equal(m, want.source, got.Source, s.name)
	require.Equal(m, want.exhausted, got.Exhausted, s.name)
	require.Equal(m, want.earlier+want.receives, got.Receives, s.name)
	require.Len(m, got.Attributes, len(want.attributes), s.name)
	require.Equal(m, want.attributes["k"], got.Attributes["k"], s.name)
	require.Equal(m, want.enqueuedAt.UnixNano(), got.EnqueuedAt.UnixNano(), s.name)
	require.Equal(m, want.visibleAt.UnixNano(), got.VisibleAt.UnixNano(), s.name)
}

// some draws deliveries of a queue, mostly late ones, stale ones among them.
func (m *machine) some() (name string, ds []int) {
	name = m.queue()
	all := m.deliveries[name]
	all = all[max(0, len(all)-10):]
	if len(all) == 0 {
		m.Skip("nothing was delivered")
	}
	ds = rapid.SliceOfN(rapid.SampledFrom(all), 1, 5).Draw(m.T, "deliveries")
	return name, ds
}

func (m *machine) compare(s *store, want, got []error) {
	if !slices.ContainsFunc(want, func(err error) bool { return err != nil }) {
		require.Nil(m, got, s.name)
		return
	}
	require.Len(m, got, len(want), s.name)
	for i := range want {
		require.ErrorIs(m, got[i], want[i], s.name)
	}
}

func (m *machine) Delete(*rapid.T) {
	name, ds := m.some()
	var want []error
	for _, d := range ds {
		want = append(want, m.model.delete(name, d))
	}
	for _, s := range m.stores {
		var rs []string
		for _, d := range ds {
			rs = append(rs, s.receipts[d])
		}
		m.compare(s, want, s.Delete(m.Context(), name, rs))
	}
}

func (m *machine) Change(*rapid.T) {
	name, ds := m.some()
	by := rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second, time.Minute}).Draw(m.T, "by")
	var want []error
	for _, d := range ds {
		want = append(want, m.model.change(name, d, by))
	}
	for _, s := range m.stores {
		var cs []queue.Change
		for _, d := range ds {
			cs = append(cs, queue.Change{Receipt: s.receipts[d], By: by})
		}
		m.compare(s, want, s.Change(m.Context(), name, cs))
	}
}

func (m *machine) Release(*rapid.T) {
	name, ds := m.some()
	by := rapid.SampledFrom([]time.Duration{-1, 0, 0, 10 * time.Second}).Draw(m.T, "by")
	var want []error
	for _, d := range ds {
		want = append(want, m.model.release(name, d, by))
	}
	for _, s := range m.stores {
		var cs []queue.Change
		for _, d := range ds {
			cs = append(cs, queue.Change{Receipt: s.receipts[d], By: by, Release: true})
		}
		m.compare(s, want, s.Change(m.Context(), name, cs))
	}
}

func (m *machine) Reject(*rapid.T) {
	name, ds := m.some()
	attributes := map[string]string{"k": "rejected"}
	var want []error
	for _, d := range ds {
		want = append(want, m.model.reject(name, d, attributes))
	}
	for _, s := range m.stores {
		var rs []queue.Rejection
		for _, d := range ds {
			rs = append(rs, queue.Rejection{Receipt: s.receipts[d], Attributes: attributes})
		}
		m.compare(s, want, s.Reject(m.Context(), name, rs))
	}
}

// Switch goes on with the other engine of a file, which knows it as it was when it
// was last used.
func (m *machine) Switch(*rapid.T) {
	for _, s := range m.stores {
		if s.other != nil {
			s.Engine, s.other = s.other, s.Engine
		}
	}
}

func (m *machine) Advance(*rapid.T) {
	d := rapid.SampledFrom([]time.Duration{1, time.Second, 10 * time.Second, time.Minute, 4 * time.Minute}).Draw(m.T, "by")
	m.clock.Advance(d)
	m.model.now = m.clock.Now()
	m.model.expire()
}

func (m *machine) Configure(*rapid.T) {
	kind := rapid.SampledFrom(kinds).Draw(m.T, "queue")
	name, c := m.named(kind), m.config(kind)
	// Groups that were received from in any order have no front that was
	// received: an order begun so is tested by itself.
	was := m.model.queues[name].config
	c.Ordered, c.Lax = was.Ordered, was.Lax
	if kind == "dedupe" {
		c.DedupeWindow = was.DedupeWindow
	}
	m.model.queues[name].config = c
	m.model.expire()
	for _, s := range m.stores {
		require.NoError(m, s.Configure(m.Context(), name, c), s.name)
	}
}

func (m *machine) Move(*rapid.T) {
	from := m.queue()
	to := rapid.SampledFrom(append([]string{""}, kinds...)).Draw(m.T, "to")
	if to != "" {
		to = m.named(to)
	}
	if from == to {
		m.Skip("a move to itself is refused")
	}
	moved, failed := m.model.move(from, to)
	for _, s := range m.stores {
		_, err := s.StartMove(m.Context(), from, to, 0)
		require.NoError(m, err, s.name)
		var last queue.Task
		for begin := time.Now(); time.Since(begin) < 10*time.Second; {
			ts, err := s.Moves(m.Context(), from)
			require.NoError(m, err, s.name)
			if last = ts[0]; last.Status != queue.TaskRunning {
				break
			}
		}
		want := queue.TaskCompleted
		if failed {
			want = queue.TaskFailed
		}
		require.Equal(m, want, last.Status, s.name)
		require.Equal(m, moved, int(last.Moved), s.name)
	}
}

func (m *machine) Purge(*rapid.T) {
	if rapid.IntRange(0, 9).Draw(m.T, "really") != 0 {
		m.Skip("it would leave nothing to look at")
	}
	name := m.queue()
	q := m.model.queues[name]
	q.ms = nil
	if q.config.Lax {
		clear(q.seen)
	}
	for _, s := range m.stores {
		require.NoError(m, s.Purge(m.Context(), name), s.name)
	}
}

// check compares what can be seen without changing anything.
func (m *machine) check(*rapid.T) {
	m.model.expire() // a letter can be too old on arrival
	for _, kind := range kinds {
		name := m.named(kind)
		want := m.model.stats(name)
		for _, s := range m.stores {
			got, err := s.Stats(m.Context(), name)
			require.NoError(m, err, s.name)
			require.Equal(m, [3]int64{want.Visible, want.InFlight, want.Delayed}, [3]int64{got.Visible, got.InFlight, got.Delayed}, "%s of %s", name, s.name)
			if want.Oldest.IsZero() {
				require.True(m, got.Oldest.IsZero(), s.name)
			} else {
				require.Equal(m, want.Oldest.UnixNano(), got.Oldest.UnixNano(), s.name)
			}
			peeked, err := s.Peek(m.Context(), name, 1000)
			require.NoError(m, err, s.name)
			require.Len(m, peeked, len(m.model.queues[name].ms), s.name)
			for i, x := range m.model.queues[name].ms {
				m.same(s, x, &peeked[i])
			}
		}
	}
}

func TestStoresAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	c := newClock()
	memory := queue.NewMemory(c)
	path := filepath.Join(t.TempDir(), "queues.db")
	file, err := sqlitequeue.Open(t.Context(), path, &sqlitequeue.Options{Clock: c})
	require.NoError(t, err)
	other, err := sqlitequeue.Open(t.Context(), path, &sqlitequeue.Options{Clock: c})
	require.NoError(t, err)
	number := 0
	rapid.Check(t, func(t *rapid.T) {
		number++
		m := newMachine(t, number, c, memory, file, other)
		t.Repeat(map[string]func(*rapid.T){
			"send": m.Send, "send again": m.Send, "receive": m.Receive, "receive again": m.Receive, "delete": m.Delete, "change": m.Change, "release": m.Release,
			"reject": m.Reject, "advance": m.Advance, "configure": m.Configure, "move": m.Move, "purge": m.Purge, "switch": m.Switch, "": m.check,
		})
	})
	require.NoError(t, memory.Close())
	require.NoError(t, file.Close())
	require.NoError(t, other.Close())
}
