package pubsub_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

func rejection(d drivers.Delivery, reason string) drivers.Settlement {
	now := time.Now()
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter,
		Failure: &drivers.Failure{Reason: reason, First: now.Add(-time.Minute), Last: now, Consumer: "worker-1"}}
}

// raw pulls one message as a client that knows nothing of Sluice sees it.
func raw(t *testing.T, q pubsubtest.Queue) *pubsubpb.PubsubMessage {
	t.Helper()
	var got []*pubsubpb.ReceivedMessage
	require.Eventually(t, func() bool {
		resp, err := fake.Fake().GServer.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 1, ReturnImmediately: true}) //nolint:staticcheck // to ask once
		require.NoError(t, err)
		got = resp.ReceivedMessages
		return len(got) == 1
	}, 10*time.Second, 5*time.Millisecond)
	return got[0].Message
}

func TestARejectedMessageIsALetter(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	m := &handler.Message{Body: []byte("poison"), Group: "group", DedupeID: "dedupe", Attributes: map[string]string{"own": "kept"}}
	send(t, openSink(t, q), m)
	s := openSource(t, q, "")
	d := receive(t, s, 1)[0]
	settle(t, s, act(d, handler.ActionRetry))
	d = receive(t, s, 1)[0]
	settle(t, s, rejection(d, "cannot be done"))
	require.Zero(t, depth(t, q))

	letter := raw(t, q.DeadLetter())
	require.Equal(t, "poison", string(letter.Data))
	require.Equal(t, "group", letter.OrderingKey)
	a := letter.Attributes
	require.Equal(t, "kept", a["own"])
	// The attributes of the service's own forwarding.
	require.Equal(t, "2", a["CloudPubSubDeadLetterSourceDeliveryCount"])
	require.Equal(t, q.ID, a["CloudPubSubDeadLetterSourceSubscription"])
	require.Equal(t, project, a["CloudPubSubDeadLetterSourceSubscriptionProject"])
	at, err := time.Parse("2006-01-02T15:04:05.000-07:00", a["CloudPubSubDeadLetterSourceTopicPublishTime"])
	require.NoError(t, err)
	require.WithinDuration(t, d.Message.EnqueuedAt, at, time.Millisecond)
	// Sluice's attributes.
	failure, ok := drivers.ParseFailure(a)
	require.True(t, ok)
	require.Equal(t, "cannot be done", failure.Reason)
	require.Equal(t, 2, failure.Attempt)
	require.Equal(t, q.ID, failure.Queue)
	require.Equal(t, "worker-1", failure.Consumer)
	require.WithinDuration(t, time.Now(), failure.Last, time.Minute)

	dead, err := s.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	_, err = fake.Fake().GServer.ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: q.DeadLetter().Subscription(), AckIds: []string{letter.MessageId + ":1"}})
	require.NoError(t, err)
	got := receive(t, dead, 1)[0].Message
	require.Equal(t, "dedupe", got.DedupeID)
	require.Equal(t, "group", got.Group)
}

func TestALetterIsPublishedBeforeTheMessageIsAcked(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 1)
	withFault(t, failing("Publish", codes.Unavailable))
	errs := s.Settle(t.Context(), []drivers.Settlement{rejection(ds[0], "x")})
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], drivers.ErrTransient)
	require.ErrorContains(t, errs[0], q.DeadLetter().Topic())
	require.EqualValues(t, 1, depth(t, q).InFlight, "a message whose letter was not taken must not be acknowledged")
	require.Zero(t, depth(t, q.DeadLetter()))

	withFault(t, failing("Publish", codes.PermissionDenied))
	errs = s.Settle(t.Context(), []drivers.Settlement{rejection(ds[0], "x")})
	require.ErrorIs(t, errs[0], drivers.ErrDenied)
	require.ErrorContains(t, errs[0], "roles/pubsub.publisher")
}

func TestASecondTryWritesNoSecondLetter(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 1)
	withFault(t, failing("Acknowledge", codes.Unavailable))
	for range 3 {
		errs := s.Settle(t.Context(), []drivers.Settlement{rejection(ds[0], "x")})
		require.ErrorIs(t, errs[0], drivers.ErrTransient)
	}
	fake.SetFault(nil)
	settle(t, s, rejection(ds[0], "x"))
	require.Zero(t, depth(t, q))
	require.EqualValues(t, 1, depth(t, q.DeadLetter()).Visible)
}

func TestARejectionWithoutADeadLetterTopic(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{}, 1)
	errs := s.Settle(t.Context(), []drivers.Settlement{rejection(ds[0], "x")})
	require.ErrorIs(t, errs[0], drivers.ErrUnsupported)
	require.ErrorContains(t, errs[0], "dead_letter")
	require.EqualValues(t, 1, depth(t, q).InFlight, "it must not be dropped")
}

// The emulator takes a policy whose topic is the subscription's own. A letter on it would
// come back as a new message, for ever.
func TestADeadLetterTopicThatIsTheQueuesOwn(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	change(t, q, &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: q.Topic(), MaxDeliveryAttempts: 5}}, "dead_letter_policy")
	var log bytes.Buffer
	s, err := mux().OpenSource(t.Context(), url(q.Subscription()), &drivers.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.False(t, s.Capabilities().DeadLetter)
	require.Contains(t, log.String(), "is its own topic")
	send(t, openSink(t, q), text("poison"))
	errs := s.Settle(t.Context(), []drivers.Settlement{rejection(receive(t, s.(*pubsub.Source), 1)[0], "x")})
	require.ErrorIs(t, errs[0], drivers.ErrUnsupported)
	require.EqualValues(t, 1, depth(t, q).InFlight)
}

func TestADeadLetterTopicByName(t *testing.T) {
	q, named := newQueue(t, pubsubtest.Queue{}), newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), text("poison"))
	for _, query := range []string{"?dead_letter=" + named.ID, "?dead_letter=" + named.Topic()} {
		s := openSource(t, q, query)
		require.True(t, s.Capabilities().DeadLetter)
	}
	s := openSource(t, q, "?dead_letter="+named.ID)
	d := receive(t, s, 1)[0]
	require.Zero(t, d.Message.Attempt, "without a policy of its own the subscription does not count")
	settle(t, s, rejection(d, "x"))
	letter := raw(t, named)
	require.Equal(t, "poison", string(letter.Data))
	require.Equal(t, "1", letter.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"])
	require.NotContains(t, letter.Attributes, drivers.AttributeDeadLetterAttempt)
}

// A message with little room still becomes a letter, with what fits.
func TestLettersOfFullMessages(t *testing.T) {
	for _, n := range []int{89, 90, 91, 95, 96, 99, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
			m := text("poison")
			for i := range n {
				m.SetAttribute(fmt.Sprintf("k%03d", i), "v")
			}
			send(t, openSink(t, q), m)
			s := openSource(t, q, "")
			settle(t, s, rejection(receive(t, s, 1)[0], "the reason"))

			dead, err := s.OpenDeadLetters(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, dead.Close()) }()
			got := receive(t, dead, 1)[0].Message
			failure, ok := drivers.ParseFailure(got.Attributes)
			require.True(t, ok)
			require.Equal(t, "the reason", failure.Reason)
			own := drivers.WithoutFailure(got.Attributes)
			for k, v := range m.Attributes {
				require.Equal(t, v, own[k])
			}
			native := own["CloudPubSubDeadLetterSourceSubscription"] != ""
			require.Equal(t, n <= 94, native, "the service's attributes are there as long as there is room")
			if n < 100 {
				require.NotEmpty(t, got.DedupeID, "the message's identity")
			}
		})
	}
}

func TestReasonsOfAnyLength(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	full := text("full")
	for i := range 98 { // the failure must be packed into one, whose limit is 1 KiB
		full.SetAttribute(fmt.Sprintf("k%03d", i), strings.Repeat("v", 1024))
	}
	send(t, openSink(t, q), text("plain"), full)
	s := openSource(t, q, "")
	for _, d := range receive(t, s, 2) {
		settle(t, s, rejection(d, strings.Repeat("é\"", 100_000)))
	}
	dead, err := s.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, dead.Close()) }()
	for _, d := range receive(t, dead, 2) {
		failure, ok := drivers.ParseFailure(d.Message.Attributes)
		require.True(t, ok)
		require.True(t, strings.HasPrefix(failure.Reason, "é\"é\""), failure.Reason)
		if string(d.Message.Body) == "plain" {
			require.InDelta(t, drivers.MaxReason, len(failure.Reason), 3, "it is cut where a character begins")
		}
	}
}

// The largest message that a sink takes can be rejected, too.
func TestALetterOfTheLargestMessage(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{MaxAttempts: 5})
	sink := openSink(t, q)
	send(t, sink, &handler.Message{Body: make([]byte, sink.Capabilities().MaxMessageBytes)})
	s := openSource(t, q, "")
	settle(t, s, rejection(receive(t, s, 1)[0], strings.Repeat("r", 2000)))
	require.Zero(t, depth(t, q))
	require.EqualValues(t, 1, depth(t, q.DeadLetter()).Visible)
}

// One letter that the service refuses keeps none of the others.
func TestARefusedLetterIsAlone(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 5)
	withFault(t, func(_ context.Context, method string, req any, next func() (any, error)) (any, error) {
		if r, ok := req.(*pubsubpb.PublishRequest); ok {
			for _, m := range r.Messages {
				if string(m.Data) == "3" {
					return nil, status.Error(codes.InvalidArgument, "message does not match the schema")
				}
			}
		}
		return next()
	})
	ss := make([]drivers.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = rejection(d, "x")
	}
	errs := s.Settle(t.Context(), ss)
	for i, d := range ds {
		if string(d.Message.Body) == "3" {
			require.ErrorIs(t, errs[i], drivers.ErrInvalid)
			continue
		}
		require.NoError(t, errs[i])
	}
	require.EqualValues(t, 1, depth(t, q).InFlight)
	require.EqualValues(t, 4, depth(t, q.DeadLetter()).Visible)
}
