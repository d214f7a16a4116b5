package producer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f in a synctest bubble with a producer on s that is closed at the
// end.
func bubble(t *testing.T, s *sink, cfg *producer.Config, f func(t *testing.T, p *producer.Producer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, err := producer.New(s, cfg)
		require.NoError(t, err)
		f(t, p)
		require.NoError(t, p.Close())
		require.NoError(t, p.Close(), "a second Close is harmless")
		require.Equal(t, 1, s.closed)
	})
}

func TestASingleSenderWaitsForNoOne(t *testing.T) {
	s := newSink()
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		began := time.Now()
		for i := range 10 {
			m := message(fmt.Sprint(i))
			require.NoError(t, p.Send(t.Context(), m))
			require.Equal(t, fmt.Sprintf("id-%d", i), m.ID)
		}
		require.Equal(t, 10*s.latency, time.Since(began))
		require.Equal(t, 10, s.requests())
	})
}

// Once as many senders wait as were answered, no other will come: they share a request
// immediately.
func TestSendersThatComeBackWaitForEachOtherOnly(t *testing.T) {
	const senders, rounds = 32, 10
	s := newSink()
	s.caps.MaxSend, s.caps.MaxBatchBytes = 1000, 0
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		began := time.Now()
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for range rounds {
					if err := p.Send(t.Context(), message("m")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// The first to come went alone, and the others after it, or after Linger:
		// from then on all go together.
		require.LessOrEqual(t, time.Since(began), (rounds+3)*s.latency+5*time.Millisecond)
		require.LessOrEqual(t, s.requests(), rounds+2)
		require.Len(t, s.taken, senders*rounds)
	})
}

func TestConcurrentSendersShareRequests(t *testing.T) {
	s := newSink()
	s.latency = 3 * time.Millisecond
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var wg sync.WaitGroup
		for g := range 32 {
			wg.Go(func() {
				for i := range 100 {
					if err := p.Send(t.Context(), message(fmt.Sprintf("%d-%d", g, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Len(t, s.taken, 3200)
		require.LessOrEqual(t, s.requests(), 345, "at most about a tenth of a request a message")
	})
}

func TestManyMessagesOfOneCallFillBatchesAtOnce(t *testing.T) {
	s := newSink()
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var ms []*handler.Message
		for i := range 25 {
			ms = append(ms, message(fmt.Sprint(i)))
		}
		began := time.Now()
		require.NoError(t, p.Send(t.Context(), ms...))
		require.Equal(t, s.latency, time.Since(began), "its batches are on their way at the same time")
		require.Equal(t, 3, s.requests())
	})
}

func TestBatchesAreBoundedByBytes(t *testing.T) {
	s := newSink()
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var ms []*handler.Message
		for range 10 {
			ms = append(ms, &handler.Message{Body: make([]byte, 400)})
		}
		require.NoError(t, p.Send(t.Context(), ms...))
		require.Equal(t, 5, s.requests())
		for _, b := range s.batches {
			require.Len(t, b, 2)
		}
	})
}

func TestLimitsAreNamedBeforeSending(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *handler.Message
		caps func(*drivers.Capabilities)
		want string
	}{
		{"body and attributes", &handler.Message{Body: make([]byte, 990), Attributes: map[string]string{"name": "value..."}}, nil,
			"body and attributes are 1002 bytes: the limit is 1000"},
		{"attributes", &handler.Message{Attributes: map[string]string{"a": "", "b": "", "c": ""}}, nil, "there are 3 attributes: the limit is 2"},
		{"delay", &handler.Message{Delay: time.Hour}, nil, "the delay is 1h0m0s: the limit is 15m0s"},
		{"no delays", &handler.Message{Delay: time.Second}, func(c *drivers.Capabilities) { c.MaxSendDelay = 0 }, "this queue cannot delay a message"},
		{"negative delay", &handler.Message{Delay: -1}, nil, "must not be negative"},
		{"nil", nil, nil, "the message is nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			if c.caps != nil {
				c.caps(&s.caps)
			}
			bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
				good := message("good")
				err := p.Send(t.Context(), c.m, good)
				require.ErrorIs(t, err, drivers.ErrInvalid)
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, `queue "orders"`)
				failed := (*producer.SendError)(nil)
				require.ErrorAs(t, err, &failed)
				require.Len(t, failed.Failed, 1)
				require.Equal(t, 0, failed.Failed[0].Index)
				require.Same(t, c.m, failed.Failed[0].Message)
				require.Equal(t, []string{"good"}, s.taken, "the others go through")
				require.Equal(t, "id-good", good.ID)
			})
		})
	}
}

func TestPartialFailuresAreReturnedAndRetryableOnesSentAgain(t *testing.T) {
	s := newSink()
	s.refuse = func(body string, n int) error {
		switch {
		case body == "never":
			return &drivers.Error{Code: drivers.Invalid, Queue: "orders", Op: "send", Err: errors.New("bad characters")}
		case body == "later" && n < 4:
			return &drivers.Error{Code: drivers.Throttled, Queue: "orders", Op: "send"}
		}
		return nil
	}
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		err := p.Send(t.Context(), message("a"), message("never"), message("later"), message("b"))
		failed := (*producer.SendError)(nil)
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 1)
		require.Equal(t, 1, failed.Failed[0].Index)
		require.Equal(t, 3, failed.Sent)
		require.ErrorIs(t, err, drivers.ErrInvalid)
		require.EqualError(t, err, `queue "orders": send: 1 of 4 messages not sent: message 1: queue "orders": send: invalid: bad characters`)
		require.Equal(t, []string{"a", "b", "later"}, s.taken)
		require.Equal(t, 4, s.tries["later"])
		require.Equal(t, 1, s.tries["never"])
		require.Equal(t, 1, s.tries["a"], "what was taken is not sent again")
	})
}

func TestRetryingEnds(t *testing.T) {
	s := newSink()
	s.refuse = func(string, int) error { return &drivers.Error{Code: drivers.Transient, Queue: "orders", Op: "send"} }
	bubble(t, s, &producer.Config{RetryFor: 10 * time.Second}, func(t *testing.T, p *producer.Producer) {
		began := time.Now()
		err := p.Send(t.Context(), message("a"))
		require.ErrorIs(t, err, drivers.ErrTransient)
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second)
		require.Less(t, time.Since(began), 16*time.Second)
		require.Greater(t, s.tries["a"], 4)
	})
	s = newSink()
	s.refuse = func(string, int) error { return &drivers.Error{Code: drivers.Transient, Queue: "orders", Op: "send"} }
	bubble(t, s, &producer.Config{RetryFor: -1}, func(t *testing.T, p *producer.Producer) {
		require.ErrorIs(t, p.Send(t.Context(), message("a")), drivers.ErrTransient)
		require.Equal(t, 1, s.tries["a"])
	})
}

func TestAFailedMessageHoldsItsGroupBack(t *testing.T) {
	s := newSink()
	s.caps.Ordered = true
	s.refuse = func(body string, n int) error {
		if body == "g2" && n < 3 {
			return &drivers.Error{Code: drivers.Transient, Queue: "orders", Op: "send"}
		}
		return nil
	}
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := p.Send(t.Context(), grouped("g1", "g"), grouped("g2", "g"), grouped("g3", "g"), grouped("h1", "h")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		pass(2 * time.Millisecond) // the first request is over
		wg.Go(func() {
			if err := p.Send(t.Context(), grouped("g4", "g"), grouped("h2", "h")); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		require.Equal(t, []string{"g1", "h1", "h2", "g2", "g3", "g4"}, s.taken)
	})
}

func TestAMessageThatFailsForGoodFailsItsGroupInTheSameCallOnly(t *testing.T) {
	s := newSink()
	s.caps.Ordered = true
	s.latency = 10 * time.Millisecond
	s.refuse = func(body string, _ int) error {
		if body == "bad" {
			return &drivers.Error{Code: drivers.Invalid, Queue: "orders", Op: "send"}
		}
		return nil
	}
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var wg sync.WaitGroup
		// Keeps a request on its way, so that the two calls share the next.
		wg.Go(func() { _ = p.Send(t.Context(), message("first")) })
		synctest.Wait()
		var err error
		wg.Go(func() {
			err = p.Send(t.Context(), grouped("bad", "g"), grouped("after", "g"), grouped("other", "h"))
		})
		synctest.Wait()
		wg.Go(func() {
			if err := p.Send(t.Context(), grouped("foreign", "g")); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		failed := (*producer.SendError)(nil)
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failed, 2)
		require.ErrorIs(t, failed.Failed[0].Err, drivers.ErrInvalid)
		require.ErrorIs(t, failed.Failed[1].Err, producer.ErrHeldBack)
		require.Equal(t, []string{"first", "other", "foreign"}, s.taken)
	})
}

func TestGroupsKeepTheirOrderUnderFailures(t *testing.T) {
	s := newSink()
	s.caps.Ordered = true
	s.refuse = func(body string, n int) error {
		if n == 1 && len(body)%2 == 0 {
			return &drivers.Error{Code: drivers.Throttled, Queue: "orders", Op: "send"}
		}
		return nil
	}
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 30 {
					m := grouped(fmt.Sprintf("%d/%d", g, i*7), fmt.Sprint(g))
					if err := p.Send(t.Context(), m, message("x"), grouped(fmt.Sprintf("%d/%d", g, i*7+1), fmt.Sprint(g))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		last := map[string]int{}
		for _, body := range s.taken {
			var g, i int
			if n, _ := fmt.Sscanf(body, "%d/%d", &g, &i); n != 2 {
				continue
			}
			require.GreaterOrEqual(t, i, last[fmt.Sprint(g)])
			last[fmt.Sprint(g)] = i
		}
		require.Len(t, last, 4)
		require.Len(t, s.taken, 4*30*3)
	})
}

func TestAnEndedContextIsAnsweredAtOnce(t *testing.T) {
	s := newSink()
	s.latency = 10 * time.Second
	bubble(t, s, &producer.Config{MaxInFlight: 1}, func(t *testing.T, p *producer.Producer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var flying, waiting error
		wg.Go(func() { flying = p.Send(ctx, message("flying")) })
		synctest.Wait()
		wg.Go(func() { waiting = p.Send(ctx, message("waiting")) })
		began := time.Now()
		wg.Wait()
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, flying, producer.ErrUnknown)
		require.ErrorIs(t, flying, context.DeadlineExceeded)
		require.NotErrorIs(t, waiting, producer.ErrUnknown)
		require.ErrorIs(t, waiting, context.DeadlineExceeded)
		pass(time.Minute)
		require.Equal(t, []string{"flying"}, s.taken, "what waited was not sent")
	})
}

func TestTheBufferIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  producer.Config
	}{
		{"messages", producer.Config{MaxBuffered: 3, MaxInFlight: 1}},
		{"bytes", producer.Config{MaxBufferedBytes: 3, MaxInFlight: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			s.latency = time.Second
			bubble(t, s, &c.cfg, func(t *testing.T, p *producer.Producer) {
				var wg sync.WaitGroup
				var done int
				var mu sync.Mutex
				for range 9 {
					wg.Go(func() {
						if err := p.Send(t.Context(), message("x")); err != nil {
							t.Error(err)
						}
						mu.Lock()
						done++
						mu.Unlock()
					})
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				require.ErrorIs(t, p.Send(ctx, message("late")), context.DeadlineExceeded)
				wg.Wait()
				require.Equal(t, 9, done)
				for _, b := range s.batches {
					require.LessOrEqual(t, len(b), 3)
				}
				require.Equal(t, 1, s.most)
			})
		})
	}
}

func TestPrepareChangesACopy(t *testing.T) {
	s := newSink()
	calls := 0
	cfg := &producer.Config{Prepare: []func(context.Context, *handler.Message) error{
		func(_ context.Context, m *handler.Message) error {
			calls++
			if string(m.Body) == "refused" {
				return errors.New("no")
			}
			m.SetAttribute("trace", "1")
			return nil
		},
		func(_ context.Context, m *handler.Message) error {
			require.Equal(t, "1", m.Attribute("trace"), "they are called in order")
			m.Body = []byte("pointer")
			return nil
		},
	}}
	bubble(t, s, cfg, func(t *testing.T, p *producer.Producer) {
		large := &handler.Message{Body: make([]byte, 5000), Attributes: map[string]string{"own": "x"}}
		require.NoError(t, p.Send(t.Context(), large), "the size counts after a claim check")
		require.Equal(t, map[string]string{"own": "x"}, large.Attributes)
		require.Len(t, large.Body, 5000)
		require.Equal(t, map[string]string{"own": "x", "trace": "1"}, s.stored[0].Attributes)
		require.ErrorContains(t, p.Send(t.Context(), message("refused")), "prepare: no")
		require.Equal(t, 2, calls)
		require.Equal(t, []string{"pointer"}, s.taken)
	})
}

func TestCloseFlushesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		s.latency = time.Second
		p, err := producer.New(s, &producer.Config{Linger: time.Hour})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if err := p.Send(t.Context(), message(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		require.Equal(t, 1, s.requests(), "two wait for company")
		began := time.Now()
		require.NoError(t, p.Close())
		require.Equal(t, time.Second, time.Since(began), "Close does not wait for their time to be over")
		wg.Wait()
		require.Len(t, s.taken, 3)
		require.ErrorIs(t, p.Send(t.Context(), message("late")), drivers.ErrClosed)
	})
}

func TestConfigIsValidated(t *testing.T) {
	_, err := producer.New(nil, &producer.Config{
		MaxBuffered: -1, MaxBufferedBytes: -1, MaxInFlight: -1, RequestTimeout: -1,
		Prepare:  []func(context.Context, *handler.Message) error{nil},
		Pressure: &producer.Pressure{Low: 7, Every: -1, Overload: 9},
	})
	for _, want := range []string{"sink is nil", "MaxBuffered is -1", "MaxBufferedBytes is -1", "MaxInFlight is -1", "RequestTimeout is -1",
		"Prepare[0] is nil", "Pressure.Inspector is nil", "Pressure.High is 0", "Pressure.Low is 7", "Pressure.Every is", "Pressure.Overload is 9"} {
		require.ErrorContains(t, err, want)
	}
	_, err = producer.New(newSink(), &producer.Config{Pressure: &producer.Pressure{Inspector: &depth{}, High: 1, Overload: producer.Shed}})
	require.ErrorContains(t, err, "Pressure.Priority is nil")
}

func TestAnEmptySendDoesNothing(t *testing.T) {
	s := newSink()
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		require.NoError(t, p.Send(t.Context()))
		require.Zero(t, s.requests())
	})
}

func TestAFaultyDriverIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := producer.New(faulty{newSink()}, &producer.Config{RetryFor: -1})
		require.NoError(t, err)
		require.ErrorContains(t, p.Send(t.Context(), message("a"), message("b")), "a wrong number of results")
		require.NoError(t, p.Close())
	})
}

type faulty struct{ *sink }

func (faulty) Send(context.Context, []*handler.Message) []error { return make([]error, 1) }

func BenchmarkSend(b *testing.B) {
	for _, goroutines := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := &null{caps: newSink().caps}
			p, err := producer.New(s, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			b.SetParallelism(max(goroutines/runtime.GOMAXPROCS(0), 1))
			body := []byte("body")
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := p.Send(context.Background(), &handler.Message{Body: body}); err != nil {
						b.Error(err)
					}
				}
			})
			require.NoError(b, p.Close())
			b.ReportMetric(float64(s.requests.Load())/float64(b.N), "requests/msg")
		})
	}
}

func TestEachRequestGoesThroughTheSendHook(t *testing.T) {
	s := newSink()
	tries := 0
	s.refuse = func(_ string, n int) error {
		if n == 1 {
			return &drivers.Error{Code: drivers.Throttled, Queue: "orders", Op: "send"}
		}
		return nil
	}
	hook := func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
		tries++
		require.Len(t, ms, 1)
		return send(ctx, ms)
	}
	bubble(t, s, &producer.Config{Send: hook}, func(t *testing.T, p *producer.Producer) {
		require.NoError(t, p.Send(t.Context(), message("a")))
		require.Equal(t, 2, tries, "the second try is a request of its own")
	})
}

func TestASendHookThatLosesResultsFailsTheMessages(t *testing.T) {
	s := newSink()
	hook := func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
		send(ctx, ms)
		return make([]error, len(ms)+1)
	}
	bubble(t, s, &producer.Config{Send: hook, RetryFor: -1}, func(t *testing.T, p *producer.Producer) {
		require.ErrorContains(t, p.Send(t.Context(), message("a")), "a wrong number of results")
	})
}
