package service_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/service"
)

// The queues of a group share its handlers, by weight or strictly by priority. A pause of
// one leaves its handlers to the others.
func TestQueuesOfAGroupShareHandlers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second string
		least, most   float64 // ratio of messages handled
	}{
		"weights":    {"weight: 3", "weight: 1", 2, 4},
		"priorities": {"priority: 2", "priority: 1", 50, 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "control.json"))
				r := operated(t, &counted{}, `
service: {groups: {jobs: {concurrency: 16}}}
queues:
  orders: {url: "mem://orders", consumer: {group: jobs, `+c.first+`}}
  emails: {url: "mem://emails", consumer: {group: jobs, `+c.second+`, timeout: 1m}}
  alone: {url: "mem://alone", consumer: {concurrency: 2}}
`, func(o *service.Options) { o.Control = store })
				var running, most, orders, emails, alone atomic.Int32
				count := func(n *atomic.Int32) handler.Handler {
					return handler.HandlerFunc(func(context.Context, *handler.Message) error {
						if n != &alone {
							at := running.Add(1)
							defer running.Add(-1)
							for m := most.Load(); at > m && !most.CompareAndSwap(m, at); m = most.Load() {
							}
						}
						<-time.After(50 * time.Millisecond)
						n.Add(1)
						return nil
					})
				}
				r.Handle("orders", count(&orders))
				r.Handle("alone", count(&alone))
				r.Handle("emails", count(&emails))
				ms := make([]*handler.Message, 9000)
				for i := range ms {
					ms[i] = body("x")
				}
				r.send(t, "orders", ms...)
				r.send(t, "emails", ms...)
				r.send(t, "alone", body("x"))
				stop := r.run(t)
				pass(10 * time.Second)
				require.EqualValues(t, 16, most.Load())
				require.EqualValues(t, 1, alone.Load())
				ratio := float64(orders.Load()) / float64(max(emails.Load(), 1))
				require.GreaterOrEqual(t, ratio, c.least, "%d to %d", orders.Load(), emails.Load())
				require.LessOrEqual(t, ratio, c.most, "%d to %d", orders.Load(), emails.Load())
				require.Contains(t, r.log.String(), "queue=orders concurrency=16 group=jobs")
				h := r.Health()
				require.Equal(t, consumer.HealthOK, h.Status)
				require.Len(t, h.Queues, 3)

				update(t, store, func(s *control.State) { s.Paused, s.Pause = true, alice })
				pass(6 * time.Second)
				before, others := orders.Load(), emails.Load()
				pass(5 * time.Second)
				require.Equal(t, before, orders.Load())
				require.Greater(t, emails.Load()-others, int32(1200), "all handlers are the other's")
				require.NoError(t, stop())
			})
		})
	}
}
