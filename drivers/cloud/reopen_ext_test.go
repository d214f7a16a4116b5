package cloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/gcerrors"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/driver"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// poisoned is a subscription of which the first ack fails.
type poisoned struct {
	driver.Subscription
	sent bool
	body string
	err  error
}

func (p *poisoned) ReceiveBatch(ctx context.Context, _ int) ([]*driver.Message, error) {
	if !p.sent {
		p.sent = true
		return []*driver.Message{{LoggableID: p.body, Body: []byte(p.body), AckID: 1}}, nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
	return nil, ctx.Err()
}

func (p *poisoned) SendAcks(context.Context, []driver.AckID) error { return p.err }
func (p *poisoned) CanNack() bool                                  { return false }
func (p *poisoned) IsRetryable(error) bool                         { return false }
func (p *poisoned) ErrorCode(error) gcerrors.ErrorCode             { return gcerrors.Internal }
func (p *poisoned) Close() error                                   { return nil }

// One ack that fails makes gocloud's subscription fail for good.
func TestAFailedAckIsReportedOnceAndTheSubscriptionOpenedAnew(t *testing.T) {
	t.Parallel()
	opened := 0
	boom := errors.New("boom")
	s, err := cloud.NewSource(t.Context(), func(context.Context) (*pubsub.Subscription, error) {
		opened++
		p := &poisoned{body: "second"}
		if opened == 1 {
			p.body, p.err = "first", boom
		}
		return pubsub.NewSubscription(p, nil, nil), nil
	}, cloud.SourceConfig{Queue: "orders"})
	require.NoError(t, err)
	receive := func() (ds []drivers.Delivery) {
		require.Eventually(t, func() bool {
			got, rerr := s.Receive(t.Context(), 1, 10*time.Millisecond)
			ds, err = got, rerr
			return len(ds) > 0 || rerr != nil
		}, 30*time.Second, time.Millisecond)
		return ds
	}
	first := receive()
	require.NoError(t, err)
	require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: first[0].Receipt, Action: handler.ActionAck}}))
	receive()
	require.ErrorIs(t, err, drivers.ErrTransient)
	require.ErrorContains(t, err, "boom")
	second := receive()
	require.NoError(t, err)
	require.Equal(t, "second", string(second[0].Message.Body))
	require.Equal(t, 2, opened)

	// It cannot nack, and says so.
	errs := s.Settle(t.Context(), []drivers.Settlement{{Receipt: second[0].Receipt}})
	require.ErrorIs(t, errs[0], drivers.ErrUnsupported)
	require.ErrorContains(t, errs[0], "retry=republish")
	require.NoError(t, s.Close())
}

func TestWhatIsWrongWithAURLIsNamed(t *testing.T) {
	t.Parallel()
	mux := drivers.NewMux(inMemory())
	for u, want := range map[string]string{
		"gomem://orders?retry=sometimes":                  "known: native, republish, none",
		"gomem://orders?retry=republish":                  "needs the topic",
		"gomem://orders?retry_topic=gomem://orders":       "add retry=republish",
		"gomem://orders?dead_letter=kafka://dead":         `the scheme "kafka"`,
		"gomem://orders?dead_letter=":                     `"dead_letter" is empty`,
		"gomem://orders?retry=":                           `"retry" is empty`,
		"gomem://orders?max_message_bytes=-1":             "a number above 0",
		"gomem://orders?retry=native&retry=republish":     "occurs 2 times",
		"gomem://orders?ackdeadlines=1m":                  "ackdeadlines",
		"gomem://?retry=native":                           "names no topic",
		"gomem://orders?retry=republish&retry_topic=:bad": "malformed",
		"gomem://orders?retry=republish&retry_topic=gomem://orders&dead_letter=gomem://orders": "cannot be its dead-letter topic",
	} {
		_, err := mux.OpenSource(t.Context(), u, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, u)
		require.ErrorContains(t, err, want, u)
	}
}

func FuzzOpener(f *testing.F) {
	f.Add("gomem://orders?retry=republish&retry_topic=gomem%3A%2F%2Forders&dead_letter=gomem%3A%2F%2Fdead&max_message_bytes=9")
	f.Add("gomem:orders?retry=%zz")
	f.Fuzz(func(t *testing.T, u string) {
		sink, err := drivers.NewMux(inMemory()).OpenSink(t.Context(), u, nil)
		if err == nil {
			require.NotEmpty(t, sink.Capabilities().Queue)
			require.NoError(t, sink.Close())
		}
	})
}
