package timer_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/internal/timer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// alarm is an owner that records when it fired.
type alarm struct {
	timer.Item
	mu   sync.Mutex
	at   []time.Time
	then func(now time.Time)
}

func newAlarm() *alarm {
	return &alarm{}
}

func (a *alarm) Fire(now time.Time) {
	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.mu.Unlock()
	if a.then != nil {
		a.then(now)
	}
}

func (a *alarm) fired() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at)
}

func TestItemsFireWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		began := time.Now()
		var alarms []*alarm
		for _, i := range rand.Perm(1000) {
			a := newAlarm()
			alarms = append(alarms, a)
			// None may be due before all are set: it would not be counted.
			h.Set(a, began.Add(time.Duration(1+i)*time.Millisecond))
		}
		require.Equal(t, 1000, h.Len())
		<-time.After(time.Minute)
		synctest.Wait()
		for _, a := range alarms {
			require.Len(t, a.fired(), 1)
		}
		var last time.Duration
		for _, a := range alarms {
			last = max(last, a.fired()[0].Sub(began))
		}
		require.Equal(t, time.Second, last)
		require.Zero(t, h.Len())
		h.Close()
	})
}

func TestSetMovesAndRemoveForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		defer h.Close()
		began := time.Now()
		later, sooner, gone := newAlarm(), newAlarm(), newAlarm()
		for _, a := range []*alarm{later, sooner, gone} {
			h.Set(a, began.Add(10*time.Second))
		}
		h.Set(later, began.Add(20*time.Second))
		h.Set(sooner, began.Add(time.Second))
		h.Remove(gone)
		h.Remove(gone)
		<-time.After(time.Minute)
		synctest.Wait()
		require.Equal(t, []time.Time{began.Add(20 * time.Second)}, later.fired())
		require.Equal(t, []time.Time{began.Add(time.Second)}, sooner.fired())
		require.Empty(t, gone.fired())
	})
}

func TestAnOwnerMaySetItselfAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		a := newAlarm()
		a.then = func(now time.Time) {
			if len(a.fired()) < 5 {
				h.Set(a, now.Add(time.Second))
			}
		}
		h.Set(a, time.Now().Add(-time.Hour)) // immediately
		<-time.After(time.Minute)
		synctest.Wait()
		require.Len(t, a.fired(), 5)
		h.Close()
	})
}

func TestCloseForgetsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		slow, never := newAlarm(), newAlarm()
		slow.then = func(time.Time) { <-time.After(time.Second) }
		h.Set(slow, time.Now())
		h.Set(never, time.Now().Add(2*time.Second))
		synctest.Wait()
		began := time.Now()
		h.Close()
		require.Equal(t, time.Second, time.Since(began), "it waits for one that fires")
		h.Set(never, time.Now())
		h.Remove(never)
		<-time.After(time.Minute)
		require.Empty(t, never.fired())
		h.Close()
	})
}

// TestAgainstAModel compares the heap with a list.
func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOf(rapid.Custom(func(t *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 3).Draw(t, "what"), rapid.IntRange(0, 9).Draw(t, "which"), rapid.IntRange(1, 100).Draw(t, "when")}
		})).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			h := timer.New[*alarm]()
			defer h.Close()
			var alarms [10]*alarm
			for i := range alarms {
				alarms[i] = newAlarm()
			}
			due := map[int]time.Time{}
			fired := map[int]int{}
			ripen := func() {
				for i, at := range due {
					if !time.Now().Before(at) {
						delete(due, i)
						fired[i]++
					}
				}
			}
			for _, s := range steps {
				switch s[0] {
				case 0:
					due[s[1]] = time.Now().Add(time.Duration(s[2]) * time.Second)
					h.Set(alarms[s[1]], due[s[1]])
				case 1:
					delete(due, s[1])
					h.Remove(alarms[s[1]])
				case 2:
					<-time.After(time.Duration(s[2]) * time.Second / 2)
					synctest.Wait()
				case 3:
					var some []*alarm
					for i := range s[2] % 10 {
						delete(due, (s[1]+i)%10)
						some = append(some, alarms[(s[1]+i)%10])
					}
					h.RemoveAll(some)
				}
				ripen()
				require.Equal(rt, len(due), h.Len())
			}
			<-time.After(time.Hour)
			synctest.Wait()
			ripen()
			for i, a := range alarms {
				require.Len(rt, a.fired(), fired[i])
			}
		})
	})
}

func TestConcurrentUse(t *testing.T) {
	h := timer.New[*alarm]()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			a := newAlarm()
			for i := range 2000 {
				h.Set(a, time.Now().Add(time.Duration(i%7)*time.Microsecond))
				if i%3 == 0 {
					h.Remove(a)
				}
			}
		})
	}
	wg.Wait()
	h.Close()
}

// BenchmarkSetRemove measures the cost of one message: its deadline is set when it is
// received and removed when it is settled.
func BenchmarkSetRemove(b *testing.B) {
	h := timer.New[*alarm]()
	defer h.Close()
	others := make([]alarm, 10_000)
	for i := range others {
		h.Set(&others[i], time.Now().Add(time.Hour+time.Duration(i)*time.Second))
	}
	a := newAlarm()
	b.ReportAllocs()
	at := time.Now().Add(time.Hour)
	for b.Loop() {
		h.Set(a, at)
		h.Remove(a)
	}
}

// BenchmarkRemoveAll measures the cost of a message of a large batch: deadlines are set
// as they are received, and most of them are removed when they are settled.
func BenchmarkRemoveAll(b *testing.B) {
	h := timer.New[*alarm]()
	defer h.Close()
	const held, settled = 4000, 2500
	alarms := make([]*alarm, held)
	for i := range alarms {
		alarms[i] = newAlarm()
	}
	began := time.Now().Add(time.Hour)
	n := 0 // how many were set
	set := func(as []*alarm) {
		h.SetAll(as, func(*alarm) (time.Time, bool) {
			n++
			return began.Add(time.Duration(n/1000) * time.Millisecond), true
		})
	}
	set(alarms)
	b.ReportAllocs()
	for b.Loop() {
		h.RemoveAll(alarms[:settled])
		set(alarms[:settled])
		alarms = append(alarms[settled:], alarms[:settled]...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/settled, "ns/item")
}

// A time without a monotonic part, as a provider or a database gives it, is read
// by the clocks of the moment.
func TestATimeOfTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		defer h.Close()
		began, fired := time.Now(), make(chan time.Time, 1)
		it := newAlarm()
		it.then = func(now time.Time) { fired <- now }
		h.Set(it, time.Now().Add(time.Minute).Round(0).UTC())
		require.Equal(t, time.Minute, (<-fired).Sub(began))
		h.Set(it, time.Now().Add(-time.Hour).Round(0))
		require.Equal(t, time.Minute, (<-fired).Sub(began), "a time that has passed fires once, now")
		synctest.Wait()
		require.Zero(t, h.Len())
	})
}

func TestManyItemsUnderOneLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		alarms := make([]*alarm, 10)
		for i := range alarms {
			alarms[i] = newAlarm()
		}
		began := time.Now()
		h.SetAll(alarms, func(a *alarm) (time.Time, bool) {
			i := slices.Index(alarms, a)
			return began.Add(time.Duration(10-i) * time.Second), i != 9
		})
		require.Equal(t, 9, h.Len())
		h.RemoveAll(slices.Repeat(alarms[:5], 2))
		require.Equal(t, 4, h.Len())
		<-time.After(3 * time.Second)
		synctest.Wait()
		for i, a := range alarms {
			require.Len(t, a.fired(), map[bool]int{true: 1}[i == 7 || i == 8], i)
		}
		h.Close()
		h.SetAll(alarms, func(*alarm) (time.Time, bool) { return time.Now(), true })
		require.Zero(t, h.Len())
	})
}

// Those that are left when most are removed together still fire when they are due.
func TestRemovingMostOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := timer.New[*alarm]()
		defer h.Close()
		began := time.Now()
		due := func(i int) time.Time { return began.Add(time.Duration(1+i*37%101) * time.Second) }
		alarms, most := make([]*alarm, 101), []*alarm(nil)
		for i := range alarms {
			alarms[i] = newAlarm()
			h.Set(alarms[i], due(i))
			if i%3 != 2 {
				most = append(most, alarms[i])
			}
		}
		h.RemoveAll(most)
		require.Equal(t, len(alarms)-len(most), h.Len())
		moved := due(100).Add(time.Minute)
		h.Set(alarms[98], moved)
		<-time.After(time.Hour)
		synctest.Wait()
		for i, a := range alarms {
			switch {
			case i == 98:
				require.Equal(t, []time.Time{moved}, a.fired())
			case i%3 == 2:
				require.Equal(t, []time.Time{due(i)}, a.fired(), i)
			default:
				require.Empty(t, a.fired(), i)
			}
		}
	})
}
