package console

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A shelf is a source that shows its letters without receiving them. Before it answers it
// does what a test wants.
type shelf struct {
	drivers.Source
	ids    []string
	before func()
}

func (*shelf) Capabilities() drivers.Capabilities { return drivers.Capabilities{FreeRelease: true} }

func (*shelf) Depth(context.Context) (drivers.Depth, error) { return drivers.Depth{}, nil }

func (s *shelf) Peek(context.Context, int, bool) ([]*handler.Message, error) {
	ms := make([]*handler.Message, len(s.ids))
	for i, id := range s.ids {
		ms[i] = &handler.Message{ID: id}
	}
	s.before()
	return ms, nil
}

// read has a look at the letters and returns the IDs of those that it shows.
func (l *look) read(t *testing.T, s drivers.Source) []string {
	t.Helper()
	require.True(t, l.begin())
	l.run(t.Context(), "alice", 100, false, func(context.Context) (drivers.Source, error) { return s, nil })
	return l.shown(t)
}

func (l *look) shown(t *testing.T) (ids []string) {
	t.Helper()
	snap, running, _ := l.state()
	require.False(t, running)
	for i := range snap.Seen {
		ids = append(ids, snap.Seen[i].Message.ID)
		require.Equal(t, &snap.Seen[i], snap.letter(snap.Seen[i].Key))
	}
	var grouped int64
	for _, g := range snap.Groups {
		grouped += g.Count
	}
	require.EqualValues(t, len(ids), grouped)
	return ids
}

// A look that had read letters before a viewer brought them back, and that ends after it,
// does not show them.
func TestALookDoesNotShowWhatWasBroughtBackMeanwhile(t *testing.T) {
	t.Parallel()
	l := &look{}
	s := &shelf{ids: []string{"a", "b", "c"}, before: func() {}}
	require.Equal(t, []string{"a", "b", "c"}, l.read(t, s))
	l.forget(map[string]bool{"c": true})
	require.Equal(t, []string{"a", "b"}, l.shown(t))
	s.before = func() { l.forget(map[string]bool{"a": true}) }
	require.Equal(t, []string{"b", "c"}, l.read(t, s), "c is there again")
	s.before = func() {}
	require.Equal(t, []string{"a", "b", "c"}, l.read(t, s), "a later look shows what is there")
}

// A ward is a source whose letters are received, one batch after the other.
type ward struct {
	drivers.Source
	batches [][]string
	before  func(batch int) // is called before a batch is received
	next    int
}

func (*ward) Capabilities() drivers.Capabilities { return drivers.Capabilities{MaxReceive: 10} }

func (w *ward) OpenDeadLetters(context.Context) (drivers.Source, error) { return w, nil }

func (*ward) OpenRedrive(context.Context) (drivers.Sink, error) { return nil, errors.New("not here") }

func (w *ward) Receive(context.Context, int, time.Duration) (ds []drivers.Delivery, err error) {
	w.before(w.next)
	if w.next < len(w.batches) {
		for _, id := range w.batches[w.next] {
			ds = append(ds, drivers.Delivery{Message: &handler.Message{ID: id}, Receipt: id})
		}
		w.next++
	}
	return ds, nil
}

func (*ward) Extend(context.Context, []drivers.Extension) []error { return nil }

func (*ward) Settle(context.Context, []drivers.Settlement) []error { return nil }

func (*ward) Close() error { return nil }

// All letters were discarded when a look had read some of them. Those that it reads after
// that are new.
func TestALookShowsWhatCameAfterAllWereDiscarded(t *testing.T) {
	t.Parallel()
	l := &look{}
	w := &ward{batches: [][]string{{"a", "b"}, {"c"}}, before: func(batch int) {
		if batch == 1 {
			l.forget(nil)
		}
	}}
	require.Equal(t, []string{"c"}, l.read(t, w))
}
