package outbox_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
)

// Operators see what waits, what is on its way, what failed and why, and how far schedules
// have come.
func TestOperatorsSeeTheTable(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, table *outbox.Table) {
		backlog := func(queue string) (b outbox.Backlog) {
			all, err := table.Backlog(t.Context())
			require.NoError(t, err)
			for _, one := range all {
				if one.Queue == queue {
					b = one
				}
			}
			return b
		}
		none, err := table.Backlog(t.Context())
		require.NoError(t, err)
		require.Empty(t, none)
		clocks, err := table.Clocks(t.Context())
		require.NoError(t, err)
		require.Empty(t, clocks)

		// A nil transaction is one of the table's own.
		require.NoError(t, table.Send(t.Context(), nil, "a", message("1"), message("2"), &handler.Message{Body: []byte("3"), Delay: time.Hour}))
		wrote, err := table.SendUnique(t.Context(), nil, "b", "k", message("4"))
		require.NoError(t, err)
		require.True(t, wrote)
		replaced, err := table.Debounce(t.Context(), nil, "b", "k", &handler.Message{Body: []byte("5"), Delay: time.Hour})
		require.NoError(t, err)
		require.True(t, replaced)
		require.Equal(t, outbox.Backlog{Queue: "b", Delayed: 1, Oldest: -time.Millisecond}, backlog("b"))
		a := backlog("a")
		require.GreaterOrEqual(t, a.Oldest, time.Duration(0))
		a.Oldest = 0
		require.Equal(t, outbox.Backlog{Queue: "a", Due: 2, Delayed: 1}, a)

		src, err := table.Source(&outbox.SourceConfig{Queues: []string{"a"}})
		require.NoError(t, err)
		ds, err := src.Receive(t.Context(), 1, 0)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.EqualValues(t, 1, backlog("a").Sending)
		require.NoError(t, errors.Join(src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Delay: time.Hour, Delayed: true}})...))
		require.EqualValues(t, 1, backlog("a").Retrying)
		require.NoError(t, src.Close())

		p := new(post)
		p.fail("a", errors.New("nobody there"))
		s := outbox.Schedule{Name: "s", Queue: "a", Every: time.Second}
		run(t, table, &outbox.RelayConfig{Open: p.open, Source: &outbox.SourceConfig{Poll: 5 * time.Millisecond}, Schedules: []outbox.Schedule{s}})
		require.Eventually(t, func() bool { return backlog("a").Failing > 0 }, 30*time.Second, 5*time.Millisecond)
		failing, err := table.Failing(t.Context(), 0, "a")
		require.NoError(t, err)
		require.NotEmpty(t, failing)
		require.Contains(t, failing[0].Error, "nobody there")
		others, err := table.Failing(t.Context(), 0, "b")
		require.NoError(t, err)
		require.Empty(t, others)
		require.Eventually(t, func() bool {
			clocks, err := table.Clocks(t.Context())
			require.NoError(t, err)
			return len(clocks) == 1 && clocks[0].Name == "s" && clocks[0].Messages > 1 && time.Since(clocks[0].Last) < time.Minute
		}, 30*time.Second, 10*time.Millisecond)
	})
}

// A message that its queue never takes holds back its group until it is discarded; one that a
// relay is sending is left alone.
func TestAPendingMessageIsDiscarded(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, table *outbox.Table) {
		first, second, other := message("first"), message("second"), message("other")
		first.Group, second.Group = "g", "g"
		require.NoError(t, table.Send(t.Context(), nil, "q", first, second, other))
		src, err := table.Source(nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, src.Close()) }()
		take := func() (bodies []string, ds []drivers.Delivery) {
			ds, err := src.Receive(t.Context(), 10, 0)
			require.NoError(t, err)
			for _, d := range ds {
				bodies = append(bodies, string(d.Message.Body))
			}
			return bodies, ds
		}
		discard := func(id string) bool {
			did, err := table.Discard(t.Context(), id)
			require.NoError(t, err)
			return did
		}
		bodies, ds := take()
		require.Equal(t, []string{"first", "second", "other"}, bodies)
		require.False(t, discard(first.ID), "it is being sent")
		var nacks []drivers.Settlement
		for _, d := range ds[:2] {
			nacks = append(nacks, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Delay: time.Hour, Delayed: true})
		}
		nacks[1].Delay = 0
		require.NoError(t, errors.Join(src.Settle(t.Context(), nacks)...))
		bodies, _ = take()
		require.Empty(t, bodies, "the first holds back its group")
		require.True(t, discard(first.ID))
		require.False(t, discard(first.ID), "it is gone")
		bodies, _ = take()
		require.Equal(t, []string{"second"}, bodies)
		require.NoError(t, errors.Join(src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[2].Receipt, Message: ds[2].Message, Action: handler.ActionAck}})...))
		require.False(t, discard(other.ID), "it was sent")
		require.False(t, discard("none"))
	})
}

func TestTheMessageOfATime(t *testing.T) {
	t.Parallel()
	s := outbox.Schedule{Name: "s", Message: &handler.Message{Body: []byte("b"), Group: "g", Attributes: map[string]string{"k": "v"}}}
	m := s.MessageAt(time.Date(2026, 10, 25, 1, 30, 0, 0, time.FixedZone("CET", 3600)))
	require.Equal(t, &handler.Message{Body: []byte("b"), Group: "g", DedupeID: "s/2026-10-25T00:30:00Z",
		Attributes: map[string]string{"k": "v", "schedule": "s", "scheduled-at": "2026-10-25T00:30:00Z"}}, m)
	m.Body[0] = 'x'
	require.Equal(t, "b", string(s.Message.Body), "a copy")
	require.Equal(t, map[string]string{"k": "v"}, s.Message.Attributes)
	require.ErrorContains(t, (&outbox.Schedule{Name: "s", Queue: "q", Cron: "@daily", Zone: "Local"}).Check(), "it differs between processes")
}
