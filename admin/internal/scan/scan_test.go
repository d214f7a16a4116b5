package scan

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A standard queue is one on which an old receipt still works, as on SQS.
type standard struct {
	drivers.Source
	letters  []string
	released []string // receipts
}

func (*standard) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{MaxReceive: 10, MaxExtend: 10, MaxSettle: 10, MaxExtension: 12 * time.Hour}
}

func (q *standard) Receive(context.Context, int, time.Duration) (ds []drivers.Delivery, err error) {
	for _, id := range q.letters {
		ds = append(ds, drivers.Delivery{Message: &handler.Message{ID: id}, Receipt: id, Deadline: time.Now().Add(30 * time.Second)})
	}
	q.letters = nil
	return ds, nil
}

func (q *standard) Extend(_ context.Context, es []drivers.Extension) []error {
	errs := make([]error, len(es))
	for i, e := range es {
		if e.Receipt == "lost" {
			errs[i] = &drivers.Error{Code: drivers.LeaseLost}
		}
	}
	return errs
}

func (q *standard) Settle(_ context.Context, ss []drivers.Settlement) []error {
	for _, s := range ss {
		q.released = append(q.released, s.Receipt)
	}
	return nil
}

// A letter whose hold has ended is visible, and another operator's command may have it: its
// release would take it from that one. A letter that is still held is released.
func TestALetterThatIsHeldNoLongerIsNotReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &standard{letters: []string{"held", "renewed", "lost"}}
		s := New(q, 10*time.Minute)
		next := func() []drivers.Delivery {
			ds, err := s.Next(t.Context(), 10)
			require.NoError(t, err)
			return ds
		}
		first := next()
		require.NoError(t, s.Hold(t.Context(), first))
		q.letters = []string{"unheld"}
		require.Len(t, next(), 1)
		time.Sleep(9 * time.Minute) //nolint:forbidigo // moves the bubble's clock
		require.NoError(t, s.Renew(t.Context(), first[1]))
		time.Sleep(2 * time.Minute) //nolint:forbidigo // moves the bubble's clock
		q.letters = []string{"fresh"}
		require.Len(t, next(), 1)
		require.NoError(t, s.GiveBack(t.Context()))
		require.ElementsMatch(t, []string{"renewed", "fresh"}, q.released)
	})
}
