package producer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/producer"
)

// The identity of a message is made once. A try after a lost answer is of the
// same message, which a FIFO queue, or the receiver, recognizes.
func TestEveryTryOfAMessageHasItsIdentity(t *testing.T) {
	for _, c := range []struct{ name, dedupe string }{{"the sender's", "order-1"}, {"made", ""}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			var ids []string
			hook := func(ctx context.Context, ms []*handler.Message, send func(context.Context, []*handler.Message) []error) []error {
				ids = append(ids, ms[0].DedupeID)
				errs := send(ctx, ms)
				if len(ids) < 4 {
					return []error{&drivers.Error{Code: drivers.Transient, Err: errors.New("the answer was lost")}}
				}
				return errs
			}
			bubble(t, s, &producer.Config{Send: hook}, func(t *testing.T, p *producer.Producer) {
				m := &handler.Message{Body: []byte("charge 100 EUR"), Group: "g", DedupeID: c.dedupe}
				require.NoError(t, p.Send(t.Context(), m))
				require.Equal(t, c.dedupe, m.DedupeID, "the caller's message was changed")
				require.Len(t, ids, 4)
				for _, id := range ids {
					require.Equal(t, ids[0], id)
				}
				if c.dedupe == "" {
					require.True(t, identity.Made(ids[0]), ids[0])
				} else {
					require.Equal(t, c.dedupe, ids[0])
				}
			})
		})
	}
}

func TestTwoMessagesHaveTwoIdentities(t *testing.T) {
	s := newSink()
	bubble(t, s, nil, func(t *testing.T, p *producer.Producer) {
		m := message("same")
		require.NoError(t, p.Send(t.Context(), m, m))
		require.NoError(t, p.Send(t.Context(), m))
		ids := map[string]bool{}
		for _, got := range s.stored {
			ids[got.DedupeID] = true
		}
		require.Len(t, ids, 3)
	})
}

// A hook may give the identity.
func TestPrepareGivesTheIdentity(t *testing.T) {
	s := newSink()
	cfg := &producer.Config{Prepare: []func(context.Context, *handler.Message) error{func(_ context.Context, m *handler.Message) error {
		if m.DedupeID == "" {
			m.DedupeID = "hash of " + string(m.Body)
		}
		return nil
	}}}
	bubble(t, s, cfg, func(t *testing.T, p *producer.Producer) {
		require.NoError(t, p.Send(t.Context(), message("x")))
		require.Equal(t, "hash of x", s.stored[0].DedupeID)
	})
}

// A call whose context has ended sends nothing, whatever ended it and whenever.
func TestAnEndedContextSendsNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		// prepare is called with what ends the context.
		prepare func(end func())
		before  bool
		hooks   int
	}{
		{"before the call", func(func()) {}, true, 0},
		{"while the message is prepared", func(end func()) { end() }, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			ctx, cancel := context.WithCancel(t.Context())
			hooks := 0
			cfg := &producer.Config{Prepare: []func(context.Context, *handler.Message) error{func(context.Context, *handler.Message) error {
				hooks++
				c.prepare(cancel)
				return nil
			}}}
			bubble(t, s, cfg, func(t *testing.T, p *producer.Producer) {
				if c.before {
					cancel()
				}
				err := p.Send(ctx, message("x"), message("y"))
				pass(time.Second)
				require.ErrorIs(t, err, context.Canceled)
				var failed *producer.SendError
				require.ErrorAs(t, err, &failed)
				require.Len(t, failed.Failed, 2)
				require.NotErrorIs(t, err, producer.ErrUnknown, "it is known: it was not sent")
				require.Empty(t, s.batches)
				require.Equal(t, c.hooks, hooks)
			})
		})
	}
}
