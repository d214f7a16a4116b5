package pubsub_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/lookonly"
)

// The service's own metrics count what is not acknowledged, in flight or not.
func TestDepthAsTheServiceTellsIt(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 3)
	settle(t, s, act(ds[0], handler.ActionRetry))
	var asked []*monitoringpb.ListTimeSeriesRequest
	withFault(t, func(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
		if r, ok := req.(*monitoringpb.ListTimeSeriesRequest); ok {
			asked = append(asked, r)
			if !strings.Contains(r.Filter, "pubsub.googleapis.com/") {
				return &monitoringpb.ListTimeSeriesResponse{}, nil // the fake's own extra
			}
		}
		return next()
	})
	d, err := s.(drivers.Inspector).Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, d.Visible)
	require.EqualValues(t, drivers.Unknown, d.InFlight)
	require.Zero(t, d.DeadLetters)
	require.Zero(t, d.Delayed)
	require.GreaterOrEqual(t, d.OldestAge, time.Duration(0))
	for _, r := range asked {
		require.Equal(t, "projects/"+project, r.Name)
		require.Contains(t, r.Filter, `resource.labels.subscription_id = "queue-`)
		require.GreaterOrEqual(t, r.Interval.EndTime.AsTime().Sub(r.Interval.StartTime.AsTime()), 5*time.Minute, "samples show late")
	}
	require.Equal(t, 2, receive(t, s, 1)[0].Message.Attempt, "being counted is no delivery")
	require.EqualValues(t, 3, depth(t, q).InFlight)
}

// Whoever only looks leaves the messages alone, even if counting needs a Pull here.
func TestDepthForThoseWhoOnlyLook(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{MaxAttempts: 5}), "")
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		switch method {
		case "ListTimeSeries":
			return nil, status.Error(codes.Unimplemented, "no metrics here")
		case "Pull":
			return nil, status.Error(codes.Internal, "somebody has pulled")
		}
		return next()
	})
	d, err := s.Depth(lookonly.Context(t.Context()))
	require.NoError(t, err)
	require.EqualValues(t, drivers.Unknown, d.Visible)
	require.EqualValues(t, drivers.Unknown, d.DeadLetters)
	_, err = s.Depth(t.Context())
	require.ErrorContains(t, err, "somebody has pulled")
}

func TestDepthWithoutASample(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{MaxAttempts: 5}), "")
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method == "ListTimeSeries" {
			return &monitoringpb.ListTimeSeriesResponse{TimeSeries: []*monitoringpb.TimeSeries{{}}}, nil
		}
		return next()
	})
	d, err := s.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, drivers.Depth{Visible: drivers.Unknown, InFlight: drivers.Unknown, DeadLetters: drivers.Unknown, OldestAge: drivers.Unknown,
		LetterRetention: 7 * 24 * time.Hour}, d)
}

func TestDepthWithoutPermission(t *testing.T) {
	s := openSource(t, newQueue(t, pubsubtest.Queue{}), "")
	withFault(t, failing("ListTimeSeries", codes.PermissionDenied))
	_, err := s.Depth(t.Context())
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "roles/monitoring.viewer")
	withFault(t, failing("ListTimeSeries", codes.Unavailable))
	_, err = s.Depth(t.Context())
	require.ErrorIs(t, err, drivers.ErrTransient)
}

// An emulator without Cloud Monitoring is asked by pulling, once that is known.
func TestDepthOfAnEmulatorThatHasNoMetrics(t *testing.T) {
	server := pstest.NewServerWithAddress("127.0.0.1:0")
	defer func() { require.NoError(t, server.Close()) }()
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr)
	q := pubsubtest.Queue{Project: project, ID: "bare", MaxAttempts: 5}
	require.NoError(t, pubsubtest.Create(t.Context(), &server.GServer, q))
	s := openSource(t, q, "")
	for range 2 {
		d, err := s.Depth(t.Context())
		require.NoError(t, err)
		require.Equal(t, drivers.Depth{InFlight: drivers.Unknown, OldestAge: drivers.Unknown, LetterRetention: 7 * 24 * time.Hour}, d)
	}
	send(t, openSink(t, q), text("a"), text("b"), text("c"))
	settle(t, s, rejection(receive(t, s, 1)[0], "x"))
	d, err := s.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, d.Visible)
	require.EqualValues(t, 1, d.DeadLetters)
	require.Positive(t, d.OldestAge)
	require.Len(t, receive(t, s, 2), 2, "what was counted was given back")
}

func dropSubscription(t *testing.T, q pubsubtest.Queue) {
	t.Helper()
	_, err := fake.Fake().GServer.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: q.Subscription()})
	require.NoError(t, err)
}

func addSubscription(t *testing.T, q pubsubtest.Queue, id string) {
	t.Helper()
	_, err := fake.Fake().GServer.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/" + project + "/subscriptions/" + id, Topic: q.Topic()})
	require.NoError(t, err)
}

// lettersFail requires that each operation on letters fails with the code and the parts.
func lettersFail(t *testing.T, s *pubsub.Source, code drivers.Code, parts ...string) {
	t.Helper()
	_, peek := s.Peek(t.Context(), 1, true)
	_, open := s.OpenDeadLetters(t.Context())
	for _, err := range []error{peek, s.Purge(t.Context(), true), open} {
		require.Equal(t, code, drivers.CodeOf(err), "%v", err)
		for _, part := range parts {
			require.ErrorContains(t, err, part)
		}
	}
	d, err := s.Depth(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, drivers.Unknown, d.DeadLetters)
}

func TestLettersOfSeveralSubscriptions(t *testing.T) {
	t.Parallel()
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	dropSubscription(t, q.DeadLetter())
	addSubscription(t, q.DeadLetter(), q.ID+"-one")
	addSubscription(t, q.DeadLetter(), q.ID+"-two")
	lettersFail(t, openSource(t, q, ""), drivers.Invalid, "has 2 subscriptions", q.ID+"-two", "dead_letter_subscription")

	named := openSource(t, q, "?dead_letter_subscription="+q.ID+"-two")
	_, err := named.Peek(t.Context(), 1, true)
	require.NoError(t, err)
	addSubscription(t, q.DeadLetter(), q.ID+"-dlq") // the one with the topic's ID is it
	_, err = openSource(t, q, "").Peek(t.Context(), 1, true)
	require.NoError(t, err)
}

// A subscription that is named by mistake has the messages of another queue: a purge of
// dead letters would delete them.
func TestTheSubscriptionOfAnotherQueueHasNoLetters(t *testing.T) {
	q, other := newQueue(t, pubsubtest.Queue{MaxAttempts: 5}), newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, other), text("live"))
	s := openSource(t, q, "?dead_letter_subscription="+other.ID)
	lettersFail(t, s, drivers.Invalid, "which is named for the dead letters", other.Topic(), "name a subscription of the dead-letter topic")
	_, err := s.OpenDeadLetterSink(t.Context())
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.EqualValues(t, 1, depth(t, other).Visible)

	_, err = mux().OpenSource(t.Context(), url(q.Subscription())+"?dead_letter_subscription="+q.ID, nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "the queue's own subscription cannot be that of its dead letters")
}

func TestLettersThatCannotBeRead(t *testing.T) {
	t.Run("no dead-letter topic", func(t *testing.T) {
		lettersFail(t, openSource(t, newQueue(t, pubsubtest.Queue{}), ""), drivers.Unsupported, "dead-letter policy")
	})
	t.Run("no subscription", func(t *testing.T) {
		q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
		dropSubscription(t, q.DeadLetter())
		lettersFail(t, openSource(t, q, ""), drivers.NotFound, "its letters are lost", "gcloud pubsub subscriptions create "+q.ID+"-dlq --topic="+q.DeadLetter().Topic())
	})
	t.Run("no right to look", func(t *testing.T) {
		s := openSource(t, newQueue(t, pubsubtest.Queue{MaxAttempts: 5}), "")
		withFault(t, failing("ListTopicSubscriptions", codes.PermissionDenied))
		lettersFail(t, s, drivers.Denied)
	})
	t.Run("outage", func(t *testing.T) {
		s := openSource(t, newQueue(t, pubsubtest.Queue{MaxAttempts: 5}), "")
		withFault(t, failing("ListTopicSubscriptions", codes.Unavailable))
		_, err := s.Depth(t.Context())
		require.ErrorIs(t, err, drivers.ErrTransient)
	})
}

// Peek gives back what it saw even where its caller has gone meanwhile.
func TestPeekGivesBackWhateverHappens(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), text("a"), text("b"))
	s := openSource(t, q, "")
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method != "Pull" {
			return next()
		}
		if n++; n > 1 {
			cancel()
			return nil, status.Error(codes.Unavailable, "away")
		}
		return next()
	})
	_, err := s.Peek(ctx, 10, false)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 2, depth(t, q).Visible)
}

func TestPeekShowsOnlyWhatIsOurs(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), text("ours"), &handler.Message{Body: []byte("theirs"),
		Attributes: map[string]string{"sluice-redrive-target": "projects/p/subscriptions/other"}})
	ms, err := openSource(t, q, "").Peek(t.Context(), 10, false)
	require.NoError(t, err)
	require.Len(t, ms, 1)
	require.Equal(t, "ours", string(ms[0].Body))
}

// An emulator that cannot seek is purged by receiving.
func TestPurgeWithoutSeek(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{}, 3)
	settle(t, s, act(ds[0], handler.ActionRetry), act(ds[1], handler.ActionRetry))
	withFault(t, failing("Seek", codes.Unimplemented))
	require.NoError(t, s.(drivers.Purger).Purge(t.Context(), false))
	require.Equal(t, int64(0), depth(t, q).Visible)
	require.Equal(t, int64(1), depth(t, q).InFlight, "without seeking, what is in flight stays")
	withFault(t, failing("Seek", codes.PermissionDenied))
	require.ErrorIs(t, s.(drivers.Purger).Purge(t.Context(), false), drivers.ErrDenied)
}

func TestInspectionAfterClose(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	opened, err := mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.NoError(t, err)
	s := opened.(*pubsub.Source)
	require.NoError(t, s.Close())
	_, err = s.Depth(t.Context())
	require.ErrorIs(t, err, drivers.ErrClosed)
	_, err = s.Peek(t.Context(), 1, false)
	require.ErrorIs(t, err, drivers.ErrClosed)
	require.ErrorIs(t, s.Purge(t.Context(), true), drivers.ErrClosed)
	require.ErrorIs(t, s.Replay(t.Context(), time.Now()), drivers.ErrClosed)
	_, err = s.OpenDeadLetters(t.Context())
	require.ErrorIs(t, err, drivers.ErrClosed)
	_, err = s.OpenRedrive(t.Context())
	require.ErrorIs(t, err, drivers.ErrClosed)
}
