package pubsub_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

func openPush(t *testing.T, queue string, opts *drivers.Options) (*pubsub.PushSubscription, error) {
	t.Helper()
	s, err := (&pubsub.Opener{}).OpenPush(t.Context(), queue, opts)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return s, err
}

// ownClients are clients that a program brings along.
func ownClients(t *testing.T) pubsub.Clients {
	t.Helper()
	conn, err := grpc.NewClient(fake.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	var c pubsub.Clients
	c.Subscriptions, err = apiv1.NewSubscriptionAdminClient(t.Context(), option.WithGRPCConn(conn))
	require.NoError(t, err)
	c.Topics, err = apiv1.NewTopicAdminClient(t.Context(), option.WithGRPCConn(conn))
	require.NoError(t, err)
	return c
}

// altered is a fault that answers with another subscription than the one there is.
func altered(change func(*pubsubpb.Subscription)) pubsubtest.Fault {
	return func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		resp, err := next()
		if s, ok := resp.(*pubsubpb.Subscription); ok && method == "GetSubscription" {
			s = proto.Clone(s).(*pubsubpb.Subscription)
			change(s)
			return s, err
		}
		return resp, err
	}
}

func TestOpenPushRefusesWithAWayOut(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	const form = "gcppubsub://projects/PROJECT/subscriptions/ID"
	for _, c := range []struct {
		name, url string
		code      drivers.Code
		want      string
	}{
		{"empty", "", drivers.Invalid, form},
		{"no URL", q.Subscription(), drivers.Invalid, form},
		{"no URL at all", "gcppubsub://%zz", drivers.Invalid, form},
		{"another scheme", "awssqs:///orders", drivers.Invalid, form},
		{"no name", "gcppubsub://", drivers.Invalid, form},
		{"empty project", "gcppubsub://projects//subscriptions/s", drivers.Invalid, form},
		{"empty ID", "gcppubsub://projects/p/subscriptions/", drivers.Invalid, form},
		{"another kind", "gcppubsub://projects/p/queues/q", drivers.Invalid, form},
		{"too long a path", "gcppubsub://projects/p/subscriptions/s/t", drivers.Invalid, form},
		{"a password", "gcppubsub://user:secret@projects/p/subscriptions/s", drivers.Invalid, "no user and no password"},
		{"a topic", url(q.Topic()), drivers.Invalid, "is a topic; the service pushes from a subscription"},
		{"unread parameter", url(q.Subscription()) + "?dead_leter=x", drivers.Invalid, `did you mean "dead_letter"?`},
		{"an ack deadline", url(q.Subscription()) + "?ack_deadline=30s", drivers.Invalid, "set the subscription's"},
		{"an ack deadline that is none", url(q.Subscription()) + "?ack_deadline=30", drivers.Invalid, "from 1s to 10m0s"},
		{"no such subscription", "gcppubsub://projects/p/subscriptions/none", drivers.NotFound, "its configuration"},
		{"dead letter that is not there", url(q.Subscription()) + "?dead_letter=nowhere", drivers.NotFound, "projects/test-project/topics/nowhere"},
		{"dead letter of another kind", url(q.Subscription()) + "?dead_letter=" + q.Subscription(), drivers.Invalid, "topics is needed"},
		{"dead-letter subscription without a topic", url(q.Subscription()) + "?dead_letter_subscription=x", drivers.Invalid, "no dead-letter topic"},
	} {
		_, err := openPush(t, c.url, nil)
		require.Equal(t, c.code, drivers.CodeOf(err), "%s: %v", c.name, err)
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "secret", c.name)
		require.NotContains(t, err.Error(), "projects///", c.name)
	}
	_, err := openPush(t, url(q.Subscription())+"?dead_letter=a", &drivers.Options{DeadLetter: "b"})
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "name one of them")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = (&pubsub.Opener{}).OpenPush(ctx, url(q.Subscription()), nil)
	require.Equal(t, context.Canceled, err)
}

func TestNewPushSubscriptionRefusesWhatItIsGiven(t *testing.T) {
	q, clients := newQueue(t, pubsubtest.Queue{}), ownClients(t)
	for _, c := range []struct {
		name, subscription string
		clients            pubsub.Clients
		options            *pubsub.SourceOptions
		code               drivers.Code
		want               string
	}{
		{"empty name", "", clients, nil, drivers.Invalid, `"" is not the name of a topic or a subscription`},
		{"an ID alone", q.ID, clients, nil, drivers.Invalid, "is not the name"},
		{"a URL", url(q.Subscription()), clients, nil, drivers.Invalid, "is not the name"},
		{"empty project", "projects//subscriptions/s", clients, nil, drivers.Invalid, "is not the name"},
		{"empty ID", "projects/p/subscriptions/", clients, nil, drivers.Invalid, "is not the name"},
		{"a topic", q.Topic(), clients, nil, drivers.Invalid, "is a topic"},
		{"no clients", q.Subscription(), pubsub.Clients{}, nil, drivers.Invalid, "needs the clients"},
		{"no client for topics", q.Subscription(), pubsub.Clients{Subscriptions: clients.Subscriptions}, nil, drivers.Invalid, "needs the clients"},
		{"an ack deadline", q.Subscription(), clients, &pubsub.SourceOptions{AckDeadline: time.Minute}, drivers.Invalid, "set the subscription's"},
		{"no such subscription", "projects/p/subscriptions/none", clients, nil, drivers.NotFound, "its configuration"},
		{"dead letter that is not there", q.Subscription(), clients, &pubsub.SourceOptions{DeadLetter: "nowhere"}, drivers.NotFound, "topics/nowhere"},
	} {
		_, err := pubsub.NewPushSubscription(t.Context(), c.clients, c.subscription, c.options)
		require.Equal(t, c.code, drivers.CodeOf(err), "%s: %v", c.name, err)
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "projects///", c.name)
	}
	s, err := pubsub.NewPushSubscription(t.Context(), clients, q.Subscription(), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, err = clients.Topics.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: q.Topic()})
	require.NoError(t, err, "the caller's clients remain the caller's")
}

func TestOpenPushLooksAtTheSubscription(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 7, AckDeadlineSeconds: 30})
	open := func(change func(*pubsubpb.Subscription), log *bytes.Buffer) (*pubsub.PushSubscription, error) {
		withFault(t, altered(change))
		return openPush(t, url(q.Subscription()), &drivers.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	}
	for name, c := range map[string]struct {
		change func(*pubsubpb.Subscription)
		want   string
	}{
		"BigQuery": {func(s *pubsubpb.Subscription) { s.BigqueryConfig = &pubsubpb.BigQueryConfig{Table: "p.d.t"} }, "exports to BigQuery"},
		"detached": {func(s *pubsubpb.Subscription) { s.Detached = true }, "is detached"},
	} {
		_, err := open(c.change, &bytes.Buffer{})
		require.ErrorIs(t, err, drivers.ErrInvalid, name)
		require.ErrorContains(t, err, c.want, name)
	}

	// One that pushes is opened, which a source on it is not.
	var log bytes.Buffer
	s, err := open(func(s *pubsubpb.Subscription) {
		s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "https://orders.example.com/push"}
	}, &log)
	require.NoError(t, err)
	require.Equal(t, q.Subscription(), s.Name())
	caps := s.Capabilities()
	require.Equal(t, []any{q.ID, 30 * time.Second, true, q.ID + "-dlq", 7, true},
		[]any{caps.Queue, caps.Lease, caps.DeadLetter, caps.DeadLetterQueue, caps.MaxAttempts, caps.AttemptKnown})
	require.Empty(t, log.String())
	_, err = mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.ErrorContains(t, err, "the subscription pushes to")

	// A dead-letter topic that was deleted does not count, and that is reported.
	s, err = open(func(s *pubsubpb.Subscription) { s.DeadLetterPolicy.DeadLetterTopic = "_deleted-topic_" }, &log)
	require.NoError(t, err)
	require.False(t, s.Capabilities().DeadLetter)
	require.Contains(t, log.String(), "the dead-letter topic of the subscription was deleted")
	require.ErrorIs(t, s.DeadLetter(t.Context(), text("x"), nil), drivers.ErrUnsupported)

	// The policy's topic is not asked for: the endpoint needs no right to look at it.
	was := fake.Calls("GetTopic")
	_, err = open(func(*pubsubpb.Subscription) {}, &log)
	require.NoError(t, err)
	require.Equal(t, was, fake.Calls("GetTopic"))
}

func TestLettersOfAPushSubscription(t *testing.T) {
	none := &pubsub.PushSubscription{}
	require.Empty(t, none.Name())
	require.ErrorIs(t, none.DeadLetter(t.Context(), text("x"), nil), drivers.ErrUnsupported)
	require.NoError(t, none.Close())

	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	before := goleak.IgnoreCurrent()
	s, err := openPush(t, url(q.Subscription()), nil)
	require.NoError(t, err)
	m := &handler.Message{Body: []byte("x"), Group: "k", DedupeID: "d", Attempt: 2, Attributes: map[string]string{"a": "b"}}
	withFault(t, failing("Publish", codes.Unavailable))
	was := fake.Calls("Publish")
	require.ErrorIs(t, s.DeadLetter(t.Context(), m, &drivers.Failure{Reason: "broken"}), drivers.ErrTransient)
	require.Equal(t, was+1, fake.Calls("Publish"), "it does not retry")
	fake.SetFault(nil)
	require.NoError(t, s.DeadLetter(t.Context(), m, &drivers.Failure{Reason: "broken"}))
	letter := raw(t, q.DeadLetter())
	require.Equal(t, []string{"x", "k", "d", "b", q.ID}, []string{string(letter.Data), letter.OrderingKey,
		letter.Attributes["sluice-dedupe-id"], letter.Attributes["a"], letter.Attributes["CloudPubSubDeadLetterSourceSubscription"]})
	failure, ok := drivers.ParseFailure(letter.Attributes)
	require.True(t, ok)
	require.Equal(t, drivers.DeadLetter{Failure: drivers.Failure{Reason: "broken"}, Attempt: 2, Queue: q.ID}, failure)
	require.Equal(t, map[string]string{"a": "b"}, m.Attributes, "the message is the caller's")

	long := &handler.Message{Body: []byte("x"), Attributes: map[string]string{"a": string(make([]byte, 2000))}}
	require.ErrorIs(t, s.DeadLetter(t.Context(), long, &drivers.Failure{Reason: "broken"}), drivers.ErrInvalid)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.DeadLetter(t.Context(), m, nil), drivers.ErrClosed)
	goleak.VerifyNone(t, before)
}
