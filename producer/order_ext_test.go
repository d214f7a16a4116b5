package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

func transient(why string) error {
	return &drivers.Error{Code: drivers.Transient, Queue: "orders", Op: "send", Err: errors.New(why)}
}

// If the provider may take some messages of a request and not others, no request
// has two of a group, and the next waits for the answer.
func TestOneMessageOfAGroupIsUnconfirmedAtATime(t *testing.T) {
	s := newSink()
	s.caps.Ordered, s.caps.MaxSendGroup = true, 1
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		var ms []*handler.Message
		for i := range 5 {
			for _, g := range []string{"a", "b", "c"} {
				ms = append(ms, grouped(fmt.Sprint(g, i), g))
			}
		}
		began := time.Now()
		require.NoError(t, p.Send(t.Context(), ms...))
		require.Less(t, time.Since(began), 20*time.Millisecond)
		require.LessOrEqual(t, len(s.batches), 6, "groups go together: %v", s.batches)
		for _, batch := range s.batches {
			groups := map[string]bool{}
			for _, body := range batch {
				require.False(t, groups[body[:1]], "two of a group in the request %v", batch)
				groups[body[:1]] = true
			}
		}
	})
}

// Random failures of requests and of entries, lost answers, callers that leave:
// what was taken of a group first is in order.
func TestGroupsKeepTheirOrderOneByOne(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := newSink()
			s.caps.Ordered, s.caps.MaxSendGroup = true, 1
			var mu sync.Mutex
			draw := func(n int) bool {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n) == 0
			}
			s.refuse = func(string, int) error {
				if draw(4) {
					return transient("entry")
				}
				return nil
			}
			cfg := &producer.Config{RetryFor: time.Hour, MaxBuffered: 20}
			cfg.Send = func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
				errs := send(ctx, ms)
				if draw(5) {
					lost := make([]error, len(ms))
					for i := range lost {
						lost[i] = transient("the answer was lost")
					}
					return lost
				}
				return errs
			}
			bubble(t, s, cfg, func(t *testing.T, p *producer.Producer) {
				var all sync.WaitGroup
				for g := range 6 {
					all.Go(func() {
						for i := 0; i < 40; {
							var ms []*handler.Message
							for range 1 + i%4 {
								ms = append(ms, grouped(fmt.Sprintf("%d:%03d", g, i), fmt.Sprint(g)))
								i++
							}
							ctx, cancel := context.WithCancel(t.Context())
							if draw(6) {
								ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
							}
							err := p.Send(ctx, ms...)
							cancel()
							if err != nil {
								assert.ErrorIs(t, err, context.DeadlineExceeded) //nolint:forbidigo // not the test's goroutine
							}
						}
					})
				}
				all.Wait()
				last := map[string]string{}
				seen := map[string]bool{}
				for _, body := range s.taken {
					g, _, _ := strings.Cut(body, ":")
					if seen[body] {
						require.Equal(t, last[g], body, "only the latest of a group is sent again")
						continue
					}
					seen[body] = true
					require.Less(t, last[g], body, "group %s", g)
					last[g] = body
				}
			})
		})
	}
}

// Groups that fail, and what waits for them, do not take the room of the others.
func TestFailingGroupsLeaveTheBufferToOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		single int
		groups int
		burst  bool // all are there before the first failure
		group  bool
	}{
		{"one group, one by one", 1, 1, false, true},
		{"one group in a burst, one by one", 1, 1, true, true},
		{"five groups in a burst, one by one", 1, 5, true, true},
		{"one group in batches", 0, 1, false, true},
		{"five groups in a burst, in batches", 0, 5, true, true},
		{"messages without a group", 0, 1, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			s.caps.Ordered, s.caps.MaxSendGroup = true, c.single
			s.refuse = func(body string, _ int) error {
				if strings.HasPrefix(body, "bad") {
					return transient("always")
				}
				return nil
			}
			bubble(t, s, &producer.Config{MaxBuffered: 100, RetryFor: 10 * time.Second}, func(t *testing.T, p *producer.Producer) {
				var senders sync.WaitGroup
				send := func(i int) {
					senders.Go(func() {
						g := fmt.Sprint("g", i%c.groups)
						if !c.group {
							g = ""
						}
						require.Error(t, p.Send(t.Context(), grouped(fmt.Sprint("bad", i), g)))
					})
				}
				for i := range c.groups {
					send(i)
				}
				if !c.burst {
					pass(10 * time.Millisecond)
				}
				for i := range 150 {
					send(c.groups + i)
				}
				pass(100 * time.Millisecond)
				began := time.Now()
				for i := range 10 {
					require.NoError(t, p.Send(t.Context(), grouped(fmt.Sprint("other", i), "h")))
				}
				require.Less(t, time.Since(began), 200*time.Millisecond)
				senders.Wait()
			})
		})
	}
}
