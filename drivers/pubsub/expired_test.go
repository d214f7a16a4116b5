package pubsub_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A token that can't be renewed is Unauthenticated: an outage for every request
// of a queue that is open, and a refusal for one that is opened.
func TestExpiredCredentialsOfEachRequest(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	sink := openSink(t, q)
	send(t, sink, text("1"), text("2"))
	s := openSource(t, q, "")
	ds := receive(t, s, 2)
	for _, c := range []struct {
		method string
		call   func() error
	}{
		{"Acknowledge", func() error { return s.Settle(t.Context(), []drivers.Settlement{act(ds[0], handler.ActionAck)})[0] }},
		{"ModifyAckDeadline", func() error { return s.Settle(t.Context(), []drivers.Settlement{act(ds[1], handler.ActionRetry)})[0] }},
		{"ModifyAckDeadline", func() error {
			return s.Extend(t.Context(), []drivers.Extension{{Receipt: ds[1].Receipt, By: s.Capabilities().Lease}})[0]
		}},
		{"Publish", func() error { return s.Settle(t.Context(), []drivers.Settlement{rejection(ds[1], "x")})[0] }},
		{"Publish", func() error { return sink.Send(t.Context(), []*handler.Message{text("3")})[0] }},
	} {
		withFault(t, failing(c.method, codes.Unauthenticated))
		err := c.call()
		require.ErrorIs(t, err, drivers.ErrTransient, c.method)
		require.ErrorContains(t, err, "the credentials have expired", c.method)
	}
	withFault(t, failing("GetSubscription", codes.Unauthenticated))
	_, err := mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
}
