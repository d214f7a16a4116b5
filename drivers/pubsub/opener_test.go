package pubsub_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

func TestOpenRefusesWithAWayOut(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	source := func(u string) error {
		_, err := mux().OpenSource(t.Context(), u, nil)
		return err
	}
	sink := func(u string) error {
		_, err := mux().OpenSink(t.Context(), u, nil)
		return err
	}
	for _, c := range []struct {
		name string
		open func(string) error
		url  string
		code drivers.Code
		want string
	}{
		{"source on a topic", source, url(q.Topic()), drivers.Invalid, "gcloud pubsub topics list-subscriptions " + q.Topic()},
		{"malformed", source, "gcppubsub://projects/p/queues/q", drivers.Invalid, "gcppubsub://projects/PROJECT/subscriptions/ID"},
		{"short form of gocloud", sink, "gcppubsub://p/t", drivers.Invalid, "gcppubsub://projects/PROJECT/topics/ID"},
		{"user", source, "gcppubsub://user:secret@projects/p/subscriptions/s", drivers.Invalid, "no user and no password"},
		{"fragment", source, url(q.Subscription()) + "#x", drivers.Invalid, "fragment"},
		{"unread parameter", source, url(q.Subscription()) + "?ack_dedline=5s", drivers.Invalid, `did you mean "ack_deadline"?`},
		{"source's parameter on a topic", sink, url(q.Topic()) + "?ack_deadline=5s", drivers.Invalid, `unknown parameter "ack_deadline"`},
		{"no duration", source, url(q.Subscription()) + "?ack_deadline=5", drivers.Invalid, "from 1s to 10m0s"},
		{"too short", source, url(q.Subscription()) + "?ack_deadline=0s", drivers.Invalid, "from 1s to 10m0s"},
		{"too long", source, url(q.Subscription()) + "?ack_deadline=601s", drivers.Invalid, "from 1s to 10m0s"},
		{"fraction", source, url(q.Subscription()) + "?ack_deadline=1500ms", drivers.Invalid, "whole seconds"},
		{"dead letter of another kind", source, url(q.Subscription()) + "?dead_letter=projects/p/subscriptions/s", drivers.Invalid, "topics is needed"},
		{"dead letter of its own", source, url(q.Subscription()) + "?dead_letter=" + q.Topic(), drivers.Invalid, "the queue's own topic cannot be its dead-letter topic"},
		{"empty parameter", source, url(q.Subscription()) + "?dead_letter=", drivers.Invalid, `parameter "dead_letter" is empty`},
		{"dead letter that is not there", source, url(q.Subscription()) + "?dead_letter=nowhere", drivers.NotFound, "projects/test-project/topics/nowhere"},
		{"dead-letter subscription without a topic", source, url(q.Subscription()) + "?dead_letter_subscription=x", drivers.Invalid, "no dead-letter topic"},
		{"no such subscription", source, "gcppubsub://projects/p/subscriptions/none", drivers.NotFound, "its configuration"},
		{"no such topic", sink, "gcppubsub://projects/p/topics/none", drivers.NotFound, "its configuration"},
		{"sink on no such subscription", sink, "gcppubsub://projects/p/subscriptions/none", drivers.NotFound, "its configuration"},
	} {
		err := c.open(c.url)
		require.Equal(t, c.code, drivers.CodeOf(err), "%s: %v", c.name, err)
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "secret", c.name)
	}
}

func TestTwoNamesForTheDeadLetterTopic(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	_, err := mux().OpenSource(t.Context(), url(q.Subscription())+"?dead_letter=a", &drivers.Options{DeadLetter: "b"})
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, "name one of them")
}

func TestCapabilitiesTellTheSubscription(t *testing.T) {
	plain := openSource(t, newQueue(t, pubsubtest.Queue{}), "").Capabilities()
	require.Equal(t, 10*time.Second, plain.Lease, "the service's default")
	require.False(t, plain.AttemptKnown)
	require.False(t, plain.DeadLetter)
	require.Zero(t, plain.MaxAttempts)
	require.Equal(t, "gcp_pubsub", plain.System)
	require.Equal(t, "127.0.0.1", plain.Server)
	require.Zero(t, plain.MaxSendDelay)
	require.Equal(t, 600*time.Second, plain.MaxDelay)

	q := newQueue(t, pubsubtest.Queue{AckDeadlineSeconds: 42, MaxAttempts: 7, Ordered: true, ExactlyOnce: true})
	full := openSource(t, q, "").Capabilities()
	require.Equal(t, q.ID, full.Queue)
	require.Equal(t, 42*time.Second, full.Lease)
	require.True(t, full.AttemptKnown)
	require.True(t, full.DeadLetter)
	require.Equal(t, q.DeadLetter().ID, full.DeadLetterQueue)
	require.Equal(t, 7, full.MaxAttempts)
	require.True(t, full.Ordered)
	require.True(t, full.ExactlyOnce)
	require.True(t, full.StaleReceiptFails)

	other := newQueue(t, pubsubtest.Queue{})
	named, err := mux().OpenSource(t.Context(), url(newQueue(t, pubsubtest.Queue{}).Subscription()), &drivers.Options{DeadLetter: other.Topic()})
	require.NoError(t, err)
	defer func() { require.NoError(t, named.Close()) }()
	require.True(t, named.Capabilities().DeadLetter)
	require.Equal(t, other.ID, named.Capabilities().DeadLetterQueue)
	require.Zero(t, named.Capabilities().MaxAttempts, "the provider itself moves nothing")
}

func TestSinkOnASubscriptionSendsToItsTopic(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{Ordered: true})
	s, err := mux().OpenSink(t.Context(), url(q.Subscription())+"?ack_deadline=20s", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, q.ID, s.Capabilities().Queue)
	require.True(t, s.Capabilities().Ordered)
	send(t, s, text("x"))
	require.Equal(t, "x", string(receive(t, openSource(t, q, ""), 1)[0].Message.Body))
}

func TestSubscriptionsThatCannotBePulled(t *testing.T) {
	for name, change := range map[string]func(*pubsubpb.Subscription){
		"pushes to": func(s *pubsubpb.Subscription) {
			s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "https://example.com"}
		},
		"exports":  func(s *pubsubpb.Subscription) { s.BigqueryConfig = &pubsubpb.BigQueryConfig{Table: "p.d.t"} },
		"detached": func(s *pubsubpb.Subscription) { s.Detached = true },
	} {
		q := newQueue(t, pubsubtest.Queue{})
		id := "odd-" + q.ID
		s := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + id, Topic: q.Topic()}
		change(s)
		_, err := fake.Fake().GServer.CreateSubscription(t.Context(), s)
		require.NoError(t, err)
		_, err = mux().OpenSource(t.Context(), url(s.Name), nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, name)
		require.ErrorContains(t, err, name)
	}
}

func TestTopicThatWasDeleted(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	_, err := fake.Fake().GServer.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: q.Topic()})
	require.NoError(t, err)
	_, err = mux().OpenSink(t.Context(), url(q.Subscription()), nil)
	require.ErrorIs(t, err, drivers.ErrNotFound)
	require.ErrorContains(t, err, "was deleted")

	s := openSource(t, q, "") // what is left can still be received
	_, err = s.OpenRedrive(t.Context())
	require.ErrorIs(t, err, drivers.ErrNotFound)
}

func TestDeadLetterTopicThatWasDeleted(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	withFault(t, func(ctx context.Context, method string, _ any, next func() (any, error)) (any, error) {
		resp, err := next()
		if sub, ok := resp.(*pubsubpb.Subscription); ok {
			return &pubsubpb.Subscription{Name: sub.Name, Topic: sub.Topic,
				DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: "_deleted-topic_"}}, err
		}
		return resp, err
	})
	var log bytes.Buffer
	s, err := mux().OpenSource(t.Context(), url(q.Subscription()), &drivers.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.False(t, s.Capabilities().DeadLetter)
	require.Contains(t, log.String(), "was deleted")
	require.Contains(t, log.String(), q.Subscription())
}

// withFault puts a fault in front of the shared fake until the test ends. Tests
// with faults do not run in parallel.
func withFault(t *testing.T, f pubsubtest.Fault) {
	t.Helper()
	fake.SetFault(f)
	t.Cleanup(func() { fake.SetFault(nil) })
}

// failing is a fault that answers a method with an error.
func failing(method string, code codes.Code) pubsubtest.Fault {
	return func(_ context.Context, m string, _ any, next func() (any, error)) (any, error) {
		if m == method {
			return nil, status.Error(code, "made to fail")
		}
		return next()
	}
}

func TestWithoutPermission(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})

	withFault(t, failing("GetSubscription", codes.PermissionDenied))
	_, err := mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "roles/pubsub.viewer")
	require.ErrorContains(t, err, q.Subscription())

	// A publisher may be without the right to look at the topic.
	withFault(t, failing("GetTopic", codes.PermissionDenied))
	s, err := mux().OpenSink(t.Context(), url(q.Topic()), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	src, err := mux().OpenSource(t.Context(), url(q.Subscription())+"?dead_letter=other", nil)
	require.NoError(t, err)
	require.NoError(t, src.Close())

	// But not without that to publish.
	withFault(t, func(_ context.Context, m string, _ any, next func() (any, error)) (any, error) {
		if m == "GetTopic" || m == "TestIamPermissions" {
			return nil, status.Error(codes.PermissionDenied, "made to fail")
		}
		return next()
	})
	_, err = mux().OpenSink(t.Context(), url(q.Topic()), nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "roles/pubsub.publisher")
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Setenv("PUBSUB_EMULATOR_HOST", l.Addr().String())
	for _, open := range []func() error{
		func() error {
			_, err := mux().OpenSource(t.Context(), "gcppubsub://projects/p/subscriptions/s", nil)
			return err
		},
		func() error {
			_, err := mux().OpenSink(t.Context(), "gcppubsub://projects/p/topics/t", nil)
			return err
		},
	} {
		err := open()
		require.ErrorIs(t, err, drivers.ErrTransient)
		require.ErrorContains(t, err, "is the emulator running? PUBSUB_EMULATOR_HOST is "+l.Addr().String())
	}
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	_, err := mux().OpenSource(t.Context(), "gcppubsub://projects/p/subscriptions/s?endpoint=127.0.0.1:1", nil)
	require.ErrorIs(t, err, drivers.ErrDenied)
	require.ErrorContains(t, err, "gcloud auth application-default login")
}

func TestConstructorsCheckWhatTheyAreGiven(t *testing.T) {
	for _, c := range []struct {
		name, subscription string
	}{
		{"no clients", "projects/p/subscriptions/s"},
		{"a topic", "projects/p/topics/t"},
		{"no name", "s"},
	} {
		_, err := pubsub.NewSource(t.Context(), pubsub.Clients{}, c.subscription, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.name)
		require.NotContains(t, err.Error(), "projects///", c.name)
		_, err = pubsub.NewSink(t.Context(), pubsub.Clients{}, c.subscription)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.name)
		require.NotContains(t, err.Error(), "projects///", c.name)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mux().OpenSource(ctx, "gcppubsub://projects/p/subscriptions/s", nil)
	require.Equal(t, context.Canceled, err)
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	running := goleak.IgnoreCurrent()
	s, err := mux().OpenSource(t.Context(), url(q.Subscription()), nil)
	require.NoError(t, err)
	sink, err := mux().OpenSink(t.Context(), url(q.Topic()), nil)
	require.NoError(t, err)
	send(t, sink, text("x"))
	settle(t, s, rejection(receive(t, s, 1)[0], "x"))
	_, err = s.(drivers.Inspector).Depth(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, sink.Close())
	// The server's goroutines for the two connections end on their own time.
	goleak.VerifyNone(t, running)

	_, err = mux().OpenSource(t.Context(), "gcppubsub://projects/p/subscriptions/none", nil)
	require.Error(t, err)
	goleak.VerifyNone(t, running)
}
