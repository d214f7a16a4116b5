package invoke

import (
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// Kept goroutines serve many events, and end with Close; one that an observer has ended
// is replaced, and the observers after it get the event.
func TestObserversKeepTheirGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	var mu sync.Mutex
	got := map[string]int{}
	count := func(name string) observerFunc {
		return func(e handler.Event) {
			mu.Lock()
			got[name]++
			mu.Unlock()
			switch {
			case name == "b" && e.N%10 == 1:
				runtime.Goexit()
			case name == "b" && e.N%10 == 2:
				panic("boom")
			}
		}
	}
	o := NewObservers([]handler.Observer{count("a"), count("b"), count("c")}, Logger(slog.New(slog.DiscardHandler)))
	observe := func() {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := range 100 {
					o.Observe(handler.Event{Kind: handler.EventReceived, N: n})
				}
			})
		}
		wg.Wait()
	}
	o.Keep()
	observe()
	require.LessOrEqual(t, len(o.free), 4)
	require.NotEmpty(t, o.free)
	o.Close()
	require.Empty(t, o.free)
	observe()
	require.Empty(t, o.free, "it is closed")
	for _, name := range []string{"a", "b", "c"} {
		require.Equal(t, 800, got[name], name)
	}
	require.EqualValues(t, 160, o.Failures())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, time.Millisecond)
}

func TestAnObservedEventAllocatesNothing(t *testing.T) {
	n := 0
	o := NewObservers([]handler.Observer{observerFunc(func(handler.Event) { n++ })}, Logger(nil))
	o.Keep()
	defer o.Close()
	require.Zero(t, testing.AllocsPerRun(100, func() { o.Observe(handler.Event{Kind: handler.EventStarted}) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { o.ObserveHere(handler.Event{Kind: handler.EventStarted}) }))
	require.Equal(t, 202, n)
}

// Of observers on the caller's goroutine one that ends it misses an event. The others
// have it before the caller's deferred functions run.
func TestObserveHere(t *testing.T) {
	for name, c := range map[string]struct {
		fail     func()
		ends     []bool
		want     string
		failures int
	}{
		"none":               {func() {}, []bool{true, true, true}, "abc", 0},
		"panic":              {func() { panic("boom") }, []bool{false, true, false}, "abc", 1},
		"first ends":         {runtime.Goexit, []bool{true, false, false}, "abc.", 1},
		"second ends":        {runtime.Goexit, []bool{false, true, false}, "abc.", 1},
		"last ends":          {runtime.Goexit, []bool{false, false, true}, "abc.", 1},
		"two end":            {runtime.Goexit, []bool{true, true, false}, "abc.", 2},
		"all end":            {runtime.Goexit, []bool{true, true, true}, "abc.", 3},
		"all panic":          {func() { panic("boom") }, []bool{true, true, true}, "abc", 3},
		"first and last end": {runtime.Goexit, []bool{true, false, true}, "abc.", 2},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			var list []handler.Observer
			for i, ends := range c.ends {
				list = append(list, observerFunc(func(handler.Event) {
					got += string(rune('a' + i))
					if ends {
						c.fail()
					}
				}))
			}
			o := NewObservers(list, Logger(slog.New(slog.DiscardHandler)))
			done := make(chan struct{})
			go func() {
				defer close(done)
				ended := true
				defer func() {
					if ended {
						got += "."
					}
				}()
				o.ObserveHere(handler.Event{Kind: handler.EventStarted})
				ended = false
			}()
			<-done
			require.Equal(t, c.want, got)
			require.EqualValues(t, c.failures, o.Failures())
		})
	}
}

// Several events are passed in order; the observer that ends its goroutine misses one.
func TestObserveAll(t *testing.T) {
	var got []string
	note := func(name string, fails int) observerFunc {
		return func(e handler.Event) {
			got = append(got, name+e.Store)
			if e.N == fails {
				runtime.Goexit()
			}
		}
	}
	var counts handler.Counter
	o := NewObservers([]handler.Observer{note("a", 1), &counts, note("b", 2)}, Logger(slog.New(slog.DiscardHandler)))
	var es []handler.Event
	for n := range 4 {
		es = append(es, handler.Event{Kind: handler.EventReceived, N: n, Store: strconv.Itoa(n)})
	}
	o.ObserveAll(es)
	o.ObserveAll(nil)
	require.Equal(t, []string{"a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"}, got)
	require.EqualValues(t, 2, o.Failures())
	require.EqualValues(t, 6, counts.Counts().Received)
}

type inlineFunc struct {
	Inline
	observerFunc
}

func TestAnInlineObserverIsCalledOnTheCallersGoroutine(t *testing.T) {
	calls := 0
	o := NewObservers([]handler.Observer{inlineFunc{observerFunc: func(handler.Event) {
		calls++
		panic("boom")
	}}}, Logger(slog.New(slog.DiscardHandler)))
	o.Keep()
	o.Observe(handler.Event{})
	o.ObserveAll(make([]handler.Event, 2))
	require.Equal(t, 3, calls)
	require.EqualValues(t, 3, o.Failures())
	require.Empty(t, o.free, "no goroutine was needed")
}

func BenchmarkObserve(b *testing.B) {
	for name, one := range map[string]handler.Observer{
		"inline": new(handler.Counter), "apart": observerFunc(func(handler.Event) {}),
	} {
		o := NewObservers([]handler.Observer{one}, Logger(slog.New(slog.DiscardHandler)))
		o.Keep()
		es := make([]handler.Event, 10)
		b.Run(name+"/one", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.Observe(handler.Event{Kind: handler.EventStarted})
			}
		})
		b.Run(name+"/ten", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.ObserveAll(es)
			}
		})
		b.Run(name+"/here", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.ObserveHere(handler.Event{Kind: handler.EventStarted})
			}
		})
		o.Close()
	}
}
