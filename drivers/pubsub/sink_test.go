package pubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

func TestABatchIsOneRequest(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	calls := spying(t)
	ms := make([]*handler.Message, 1000)
	for i := range ms {
		ms[i] = text(fmt.Sprint(i))
	}
	send(t, sink, ms...)
	require.Equal(t, []string{"publish 1000 to " + q.Topic()}, calls.sorted())
	ids := map[string]bool{}
	for _, m := range ms {
		require.NotEmpty(t, m.ID)
		ids[m.ID] = true
	}
	require.Len(t, ids, 1000)
}

// A request may hold messages of one ordering key only.
func TestEachGroupHasItsRequest(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	calls := spying(t)
	send(t, sink,
		&handler.Message{Body: []byte("1"), Group: "a"}, text("2"), &handler.Message{Body: []byte("3"), Group: "b"},
		&handler.Message{Body: []byte("4"), Group: "a"}, text("5"), text("6"))
	require.Equal(t, []string{"publish 1 to " + q.Topic(), "publish 2 to " + q.Topic(), "publish 3 to " + q.Topic()}, calls.sorted())
}

func TestLargeBatchesAreCutBySize(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	calls := spying(t)
	ms := make([]*handler.Message, 5)
	for i := range ms {
		ms[i] = &handler.Message{Body: make([]byte, 4_000_000), Group: "one"}
	}
	send(t, sink, ms...)
	require.Equal(t, []string{"publish 1 to " + q.Topic(), "publish 2 to " + q.Topic(), "publish 2 to " + q.Topic()}, calls.sorted())
}

func TestAMessageOfTheLargestSizeIsSent(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	largest := sink.Capabilities().MaxMessageBytes
	send(t, sink, &handler.Message{Body: make([]byte, largest)})
	require.Len(t, receive(t, openSource(t, q, ""), 1)[0].Message.Body, largest)

	calls := spying(t)
	errs := sink.Send(t.Context(), []*handler.Message{{Body: make([]byte, largest+1)}, text("small")})
	require.ErrorIs(t, errs[0], drivers.ErrInvalid)
	require.ErrorContains(t, errs[0], fmt.Sprint(largest))
	require.NoError(t, errs[1])
	require.Equal(t, []string{"publish 1 to " + q.Topic()}, calls.sorted(), "what is too large is refused before it is sent")
}

func TestADelayIsRefused(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	errs := openSink(t, q).Send(t.Context(), []*handler.Message{{Body: []byte("x"), Delay: time.Second}, text("y")})
	require.ErrorIs(t, errs[0], drivers.ErrUnsupported)
	require.NoError(t, errs[1])
	require.EqualValues(t, 1, depth(t, q).Visible)
}

func TestLaterMessagesOfAGroupDoNotOvertake(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{Ordered: true})
	sink := openSink(t, q)
	group := func(body, g string) *handler.Message { return &handler.Message{Body: []byte(body), Group: g} }
	bad := group("bad", "a")
	bad.SetAttribute("k", "\xff")
	errs := sink.Send(t.Context(), []*handler.Message{group("1", "a"), bad, group("2", "b"), group("3", "a"), text("4")})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], drivers.ErrInvalid)
	require.NoError(t, errs[2])
	require.ErrorIs(t, errs[3], drivers.ErrTransient)
	require.ErrorContains(t, errs[3], "an earlier message of its group")
	require.NoError(t, errs[4])
	require.EqualValues(t, 3, depth(t, q).Visible)
}

// refuse is a fault that refuses requests with one of the bodies, as the service
// does with what is not of a topic's schema.
func refuse(bodies ...string) pubsubtest.Fault {
	return func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		if r, ok := req.(*pubsubpb.PublishRequest); ok {
			for _, m := range r.Messages {
				for _, b := range bodies {
					if string(m.Data) == b {
						return nil, status.Error(codes.InvalidArgument, "message does not match the schema")
					}
				}
			}
		}
		return next()
	}
}

func TestWhatTheServiceRefusesIsAlone(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	withFault(t, refuse("3", "7"))
	ms := make([]*handler.Message, 10)
	for i := range ms {
		ms[i] = text(fmt.Sprint(i))
	}
	for i, err := range sink.Send(t.Context(), ms) {
		if i == 3 || i == 7 {
			require.ErrorIs(t, err, drivers.ErrInvalid)
			require.Empty(t, ms[i].ID)
			continue
		}
		require.NoError(t, err)
		require.NotEmpty(t, ms[i].ID)
	}
	require.EqualValues(t, 8, depth(t, q).Visible)
}

func TestWhatTheServiceRefusesHoldsBackItsGroup(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	withFault(t, refuse("3"))
	ms := make([]*handler.Message, 8)
	for i := range ms {
		ms[i] = &handler.Message{Body: []byte(fmt.Sprint(i)), Group: "g"}
	}
	for i, err := range sink.Send(t.Context(), ms) {
		switch {
		case i < 3:
			require.NoError(t, err)
		case i == 3:
			require.ErrorIs(t, err, drivers.ErrInvalid)
		default:
			require.ErrorContains(t, err, "an earlier message of its group")
		}
	}
	require.EqualValues(t, 3, depth(t, q).Visible)
}

// The requests of one group go out one after the other, and stop at a failure.
func TestAFailedRequestHoldsBackTheNext(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	sink := openSink(t, q)
	var mu sync.Mutex
	n := 0
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method != "Publish" {
			return next()
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 2 {
			return nil, status.Error(codes.Unavailable, "away")
		}
		return next()
	})
	ms := make([]*handler.Message, 6)
	for i := range ms {
		ms[i] = &handler.Message{Body: make([]byte, 4_000_000), Group: "g"}
	}
	errs := sink.Send(t.Context(), ms)
	require.Equal(t, 2, n)
	for i, err := range errs {
		if i < 2 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, drivers.ErrTransient)
	}
	require.ErrorContains(t, errs[5], "an earlier message of its group")
}

func TestSendAfterClose(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	s, err := mux().OpenSink(t.Context(), url(q.Topic()), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	errs := s.Send(t.Context(), []*handler.Message{text("x"), text("y")})
	require.Len(t, errs, 2)
	require.ErrorIs(t, errs[0], drivers.ErrClosed)
	require.ErrorIs(t, errs[1], drivers.ErrClosed)
}

// Each message travels with an identity, the sender's or one that is made for it:
// a service that gives a letter a new message ID must not make another job of it.
func TestEveryMessageIsSentWithAnIdentity(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	attributes := func(m *handler.Message, n int) *handler.Message {
		for i := range n {
			m.SetAttribute(fmt.Sprintf("k%03d", i), "v")
		}
		return m
	}
	ms := []*handler.Message{
		{Body: []byte("with"), DedupeID: "order-42"}, text("without"), text("another"),
		attributes(text("99 attributes"), 99), attributes(text("100 attributes"), 100),
	}
	send(t, openSink(t, q), ms...)
	for _, m := range ms[1:] {
		require.Empty(t, m.DedupeID, "the caller's message is as it was")
		require.NotContains(t, m.Attributes, "sluice-dedupe-id")
	}
	ids := map[string]string{}
	for range ms {
		m := raw(t, q)
		ids[string(m.Data)] = m.Attributes["sluice-dedupe-id"]
	}
	require.Len(t, ids, len(ms))
	require.Equal(t, "order-42", ids["with"])
	require.Empty(t, ids["100 attributes"], "there is no room for one that no sender has given")
	for _, body := range []string{"without", "another", "99 attributes"} {
		require.True(t, identity.Made(ids[body]), "%s: %q", body, ids[body])
	}
	require.NotEqual(t, ids["without"], ids["another"])
}
