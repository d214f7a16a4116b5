package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// perProvider is the bound that package admin documents.
const perProvider = 8

// A gauge counts what is in progress.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// slow is an opener whose requests take time, those for a later queue less than those
// for an earlier one, and fail for every fiftieth queue.
type slow struct {
	opener
	reads, changes gauge
	// resource returns what the plan for a queue changes; empty for nothing.
	resource func(n int) string
	mu       sync.Mutex
	changed  []string // in the order of the changes
}

func newSlow(scheme string) *slow {
	return &slow{opener: opener{scheme: scheme}, resource: func(n int) string { return fmt.Sprint("queue ", n) }}
}

func (s *slow) request(ctx context.Context, g *gauge, u *url.URL) (n int, err error) {
	g.add(1)
	defer g.add(-1)
	if n, err = strconv.Atoi(u.Host); err != nil {
		return 0, err
	}
	select {
	case <-time.After(time.Duration(1000-n) * time.Millisecond):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if n%50 == 49 {
		return 0, errNoQueue
	}
	return n, nil
}

func (s *slow) Examine(ctx context.Context, u *url.URL) (*provision.State, error) {
	if _, err := s.request(ctx, &s.reads, u); err != nil {
		return nil, err
	}
	q := sound()
	q.DeadLetter = nil
	return q, nil
}

func (s *slow) Plan(ctx context.Context, u *url.URL, _ *provision.Spec) (*provision.Plan, error) {
	n, err := s.request(ctx, &s.reads, u)
	if err != nil {
		return nil, err
	}
	p := &provision.Plan{}
	if resource := s.resource(n); resource != "" {
		p.Add(provision.Change{Resource: resource, Kind: provision.Create}, func(ctx context.Context) error {
			s.mu.Lock()
			s.changed = append(s.changed, u.Host)
			s.mu.Unlock()
			_, err := s.request(ctx, &s.changes, u)
			return err
		})
	}
	return p, nil
}

// fleet has n queues of each provider, alternating.
func fleet(n int, ss ...*slow) *admin.Fleet {
	var openers []drivers.Opener
	for _, s := range ss {
		openers = append(openers, s)
	}
	f := &admin.Fleet{Mux: drivers.NewMux(openers...)}
	for i := range n {
		for _, s := range ss {
			f.Targets = append(f.Targets, admin.Target{Name: fmt.Sprint(s.scheme, i), URL: fmt.Sprintf("%s://%d", s.scheme, i)})
		}
	}
	return f
}

func names(f *admin.Fleet) []string {
	var out []string
	for _, t := range f.Targets {
		out = append(out, t.Name)
	}
	return out
}

// Every provider has its own bound, and the slow queue of one delays no other's.
func TestAFleetIsPlannedConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSlow("a"), newSlow("b")
		f := fleet(100, a, b)
		var progress []int
		f.Progress = func(done int) { progress = append(progress, done) }
		began := time.Now()
		var got []string
		failed := 0
		for o := range f.Plan(t.Context()) {
			got = append(got, o.Target.Name)
			if o.Err != nil {
				failed++
				require.ErrorIs(t, o.Err, errNoQueue)
				require.ErrorContains(t, o.Err, o.Target.Name)
				continue
			}
			require.Len(t, o.Changes, 1)
			require.Equal(t, o.Target.Name, o.Changes[0].Queue)
		}
		require.Equal(t, names(f), got)
		require.Equal(t, 4, failed)
		require.Equal(t, perProvider, a.reads.most)
		require.Equal(t, perProvider, b.reads.most)
		require.Less(t, time.Since(began), 14*time.Second) // 100 queues of less than a second each, eight at a time
		require.Len(t, progress, 200)
		require.IsIncreasing(t, progress)
	})
}

func TestAFleetIsExaminedConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("a")
		f := fleet(200, s)
		done := 0
		f.Progress = func(n int) { done = n }
		found, err := f.Examine(t.Context())
		require.Equal(t, 4, strings.Count(err.Error(), errNoQueue.Error()), "every failure is reported")
		require.Less(t, strings.Index(err.Error(), "a49"), strings.Index(err.Error(), "a199"))
		require.Equal(t, perProvider, s.reads.most)
		require.Equal(t, 200, done)
		require.Len(t, found, 196)
		require.Equal(t, []string{"a0", "a1", "a2"}, []string{found[0].Queue, found[1].Queue, found[2].Queue}, "the order is that of the targets")
	})
}

// Queues that share a resource are applied in turn, and the others beside them.
func TestAFleetIsAppliedInChains(t *testing.T) {
	const queues = 40
	for _, c := range []struct {
		name     string
		resource func(n int) string
		most     int // changes in progress
		changes  int
	}{
		{"resources of their own", func(n int) string { return fmt.Sprint("queue ", n) }, perProvider, queues},
		{"one resource", func(int) string { return "dead letters" }, 1, queues},
		{"two resources", func(n int) string { return fmt.Sprint("dead letters ", n%2) }, 2, queues},
		{"nothing to change", func(int) string { return "" }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlow("a")
				s.resource = c.resource
				f := fleet(queues, s)
				var progress []int
				f.Progress = func(done int) { progress = append(progress, done) }
				var got []string
				for o := range f.Apply(t.Context(), false) {
					require.NoError(t, o.Err)
					for _, change := range o.Changes {
						require.True(t, change.Applied)
					}
					got = append(got, o.Target.Name)
				}
				require.Equal(t, names(f), got)
				require.Equal(t, perProvider, s.reads.most)
				require.Equal(t, c.most, s.changes.most)
				require.Len(t, s.changed, c.changes)
				if c.most == 1 {
					require.IsIncreasing(t, numbers(t, s.changed))
				}
				require.Len(t, progress, queues)
				require.IsIncreasing(t, progress)
			})
		})
	}
}

func numbers(t *testing.T, texts []string) []int {
	t.Helper()
	var out []int
	for _, s := range texts {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		out = append(out, n)
	}
	return out
}

// Two queues of one file have their turns, whatever their plans change.
func TestQueuesInOneFileAreAppliedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("a")
		f := fleet(1, s)
		f.Targets = append(f.Targets, admin.Target{Name: "other", URL: f.Targets[0].URL + "?queue=other"})
		plans := 0
		s.resource = func(int) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			plans++
			return fmt.Sprint("queue ", plans)
		}
		for o := range f.Apply(t.Context(), false) {
			require.NoError(t, o.Err)
		}
		require.Equal(t, 1, s.changes.most)
	})
}

// Queues that were not begun when the context ended say so, and nothing is left running.
func TestAFleetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("a")
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var good, ended int
		for o := range fleet(100, s).Plan(ctx) {
			switch {
			case o.Err == nil:
				good++
			case errors.Is(o.Err, context.DeadlineExceeded):
				ended++
			}
		}
		require.Equal(t, perProvider, good)
		require.Equal(t, 100-perProvider, ended)

		ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		found, err := fleet(100, s).Examine(ctx)
		require.Len(t, found, perProvider)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, context.DeadlineExceeded.Error(), err.Error(), "once, and not for each queue")

		began := time.Now()
		for range fleet(100, s).Plan(t.Context()) {
			break
		}
		require.Less(t, time.Since(began), 2*time.Second)
		require.Zero(t, s.reads.now)
	})
}

func ExampleFleet() {
	f := &admin.Fleet{Mux: mux(), Targets: []admin.Target{{Name: "orders", URL: "good://sound"}, {Name: "plain", URL: "plain://x"}}}
	for o := range f.Plan(context.Background()) {
		fmt.Println(o.Target.Name, len(o.Changes), o.Err)
	}
	// Output:
	// orders 2 <nil>
	// plain 0 queue "plain": provision: unsupported: the plain driver makes no queues
}
