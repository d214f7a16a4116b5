package pubsubtest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
)

type rig struct {
	*pubsubtest.Server
	conn *grpc.ClientConn
	pub  pubsubpb.PublisherClient
	sub  pubsubpb.SubscriberClient
}

func start(t *testing.T) *rig {
	t.Helper()
	s, err := pubsubtest.Start("")
	require.NoError(t, err)
	conn, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, s.Close())
	})
	return &rig{Server: s, conn: conn, pub: pubsubpb.NewPublisherClient(conn), sub: pubsubpb.NewSubscriberClient(conn)}
}

func (r *rig) queue(t *testing.T, q pubsubtest.Queue) pubsubtest.Queue {
	t.Helper()
	q.Project, q.ID = "p", "q"
	require.NoError(t, r.Create(t.Context(), q))
	return q
}

func (r *rig) publish(t *testing.T, q pubsubtest.Queue, ms ...*pubsubpb.PubsubMessage) {
	t.Helper()
	_, err := r.pub.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: ms})
	require.NoError(t, err)
}

func (r *rig) pull(t *testing.T, q pubsubtest.Queue) []*pubsubpb.ReceivedMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	resp, err := r.sub.Pull(ctx, &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 10})
	require.NoError(t, err)
	return resp.ReceivedMessages
}

func (r *rig) nack(t *testing.T, q pubsubtest.Queue, rms []*pubsubpb.ReceivedMessage) {
	t.Helper()
	for _, rm := range rms {
		_, err := r.sub.ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: q.Subscription(), AckIds: []string{rm.AckId}})
		require.NoError(t, err)
	}
}

func data(s string) *pubsubpb.PubsubMessage { return &pubsubpb.PubsubMessage{Data: []byte(s)} }

func TestStartAndClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := pubsubtest.Start("127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), pubsubtest.Queue{Project: "p", ID: "q"}))

	_, err = pubsubtest.Start(s.Addr())
	require.ErrorContains(t, err, "address already in use")

	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = net.DialTimeout("tcp", s.Addr(), time.Second)
	require.Error(t, err, "the fake still listens after Close")
}

func TestPublishHasTheServicesLimits(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	attr := func(k, v string) *pubsubpb.PubsubMessage {
		return &pubsubpb.PubsubMessage{Attributes: map[string]string{k: v}}
	}
	many := map[string]string{}
	for i := range 101 {
		many[strings.Repeat("k", i+1)] = ""
	}
	for _, c := range []struct {
		name string
		ms   []*pubsubpb.PubsubMessage
		want codes.Code
	}{
		{"nothing", nil, codes.InvalidArgument},
		{"empty message", []*pubsubpb.PubsubMessage{{}}, codes.InvalidArgument},
		{"two keys", []*pubsubpb.PubsubMessage{{Data: []byte("a"), OrderingKey: "a"}, {Data: []byte("b"), OrderingKey: "b"}}, codes.FailedPrecondition},
		{"long key", []*pubsubpb.PubsubMessage{{Data: []byte("a"), OrderingKey: strings.Repeat("k", 1025)}}, codes.InvalidArgument},
		{"empty attribute name", []*pubsubpb.PubsubMessage{attr("", "v")}, codes.InvalidArgument},
		{"reserved attribute name", []*pubsubpb.PubsubMessage{attr("google", "v")}, codes.InvalidArgument},
		{"reserved attribute name in another case", []*pubsubpb.PubsubMessage{attr("GooGle", "v")}, codes.InvalidArgument},
		{"long attribute name", []*pubsubpb.PubsubMessage{attr(strings.Repeat("k", 257), "v")}, codes.InvalidArgument},
		{"long attribute value", []*pubsubpb.PubsubMessage{attr("k", strings.Repeat("v", 1025))}, codes.InvalidArgument},
		{"101 attributes", []*pubsubpb.PubsubMessage{{Attributes: many}}, codes.InvalidArgument},
		{"too large", []*pubsubpb.PubsubMessage{{Data: make([]byte, 10_000_000)}}, codes.InvalidArgument},
		{"1,001 messages", slicesOf(data("x"), 1001), codes.InvalidArgument},
		{"client's own attribute", []*pubsubpb.PubsubMessage{attr("googclient_traceparent", "v")}, codes.OK},
		{"9 MB", []*pubsubpb.PubsubMessage{{Data: make([]byte, 9_000_000)}}, codes.OK},
	} {
		_, err := r.pub.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: c.ms})
		require.Equal(t, c.want, status.Code(err), "%s: %v", c.name, err)
	}
}

func slicesOf[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestPullWaitsForAMessage(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	got := make(chan int, 1)
	go func() {
		resp, _ := r.sub.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 10})
		got <- len(resp.GetReceivedMessages())
	}()
	require.Eventually(t, func() bool { return r.Calls("Pull") == 1 }, 10*time.Second, time.Millisecond)
	r.publish(t, q, data("x"))
	select {
	case n := <-got:
		require.Equal(t, 1, n)
	case <-time.After(10 * time.Second):
		t.Fatal("the pull did not see the message")
	}
}

func TestPullAnswersBeforeItsDeadline(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	require.Eventually(t, func() bool { // its caller may have had no turn before the deadline
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		resp, err := r.sub.Pull(ctx, &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 10})
		return err == nil && len(resp.ReceivedMessages) == 0
	}, time.Minute, time.Millisecond)
}

// TestAPullLeasesWhatItsAnswerHolds: an answer that is too large to be sent fails,
// and its messages are in flight with nobody.
func TestAPullLeasesWhatItsAnswerHolds(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5, AckDeadlineSeconds: 600})
	const large, small = 20, 50
	for range large {
		r.publish(t, q, &pubsubpb.PubsubMessage{Data: make([]byte, 1_000_000)})
	}
	r.publish(t, q, &pubsubpb.PubsubMessage{Data: make([]byte, 9_900_000)})
	r.publish(t, q, slicesOf(data("x"), small)...)
	seen := map[string]bool{}
	for len(seen) < large+1+small {
		resp, err := r.sub.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 100}, grpc.MaxCallRecvMsgSize(16<<20))
		require.NoError(t, err, "%d messages had come", len(seen))
		require.NotEmpty(t, resp.ReceivedMessages)
		require.LessOrEqual(t, proto.Size(resp), 11_000_000)
		for _, rm := range resp.ReceivedMessages {
			require.EqualValues(t, 1, rm.DeliveryAttempt)
			require.False(t, seen[rm.AckId], "%s came twice", rm.AckId)
			seen[rm.AckId] = true
		}
	}
	d, err := r.Depth(q.Subscription())
	require.NoError(t, err)
	require.EqualValues(t, len(seen), d.InFlight)
	require.Zero(t, d.Visible)
}

// A busy machine must not look like an empty queue: an answer that comes too late for
// its caller gives its messages back. One that a fault has lost does not.
func TestALateAnswerKeepsNoMessages(t *testing.T) {
	for name, c := range map[string]struct {
		lost error
		want int64
	}{"late": {nil, 1}, "lost": {status.Error(codes.Unavailable, "lost"), 0}} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			q := r.queue(t, pubsubtest.Queue{AckDeadlineSeconds: 600})
			r.publish(t, q, data("x"))
			answered := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.SetFault(func(call context.Context, _ string, _ any, next func() (any, error)) (any, error) {
				defer close(answered)
				resp, err := next()
				cancel()
				<-call.Done()
				<-time.After(200 * time.Millisecond) // gRPC closes the call a little later
				if c.lost != nil {
					return nil, c.lost
				}
				return resp, err
			})
			_, err := r.sub.Pull(ctx, &pubsubpb.PullRequest{Subscription: q.Subscription(), MaxMessages: 1})
			require.Error(t, err)
			<-answered
			r.SetFault(nil)
			visible := func() int64 {
				d, err := r.Depth(q.Subscription())
				require.NoError(t, err)
				return d.Visible
			}
			if c.want > 0 {
				require.Eventually(t, func() bool { return visible() == c.want }, 10*time.Second, time.Millisecond)
				require.Len(t, r.pull(t, q), 1)
				return
			}
			for range 30 {
				require.Zero(t, visible())
				<-time.After(10 * time.Millisecond)
			}
		})
	}
}

func TestDepthIsReadWithoutTouchingMessages(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5})
	r.publish(t, q, data("a"), data("b"), data("c"))
	rms := r.pull(t, q)
	require.Len(t, rms, 3)
	r.nack(t, q, rms[:1])

	d, err := r.Depth(q.Subscription())
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Visible)
	require.EqualValues(t, 2, d.InFlight)
	require.WithinDuration(t, time.Now(), d.Oldest, time.Minute)
	require.EqualValues(t, 2, r.pull(t, q)[0].DeliveryAttempt, "counting must not have been a delivery")

	_, err = r.Depth("projects/p/subscriptions/none")
	require.Error(t, err)
}

func TestForwardedLettersHaveTheServicesAttributes(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5})
	r.publish(t, q, &pubsubpb.PubsubMessage{Data: []byte("poison"), Attributes: map[string]string{"own": "kept"}})
	var ids []string
	for range 5 {
		rms := r.pull(t, q)
		require.Len(t, rms, 1)
		ids = append(ids, rms[0].Message.MessageId)
		require.NotContains(t, rms[0].Message.Attributes, "CloudPubSubDeadLetterSourceSubscription")
		r.nack(t, q, rms)
	}
	check := func(attrs map[string]string) {
		require.Equal(t, "kept", attrs["own"])
		require.Equal(t, "5", attrs["CloudPubSubDeadLetterSourceDeliveryCount"])
		require.Equal(t, "q", attrs["CloudPubSubDeadLetterSourceSubscription"])
		require.Equal(t, "p", attrs["CloudPubSubDeadLetterSourceSubscriptionProject"])
		at, err := time.Parse("2006-01-02T15:04:05.000-07:00", attrs["CloudPubSubDeadLetterSourceTopicPublishTime"])
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
	}
	var letters []*pubsubpb.ReceivedMessage
	require.Eventually(t, func() bool {
		letters = r.pull(t, q.DeadLetter())
		return len(letters) > 0
	}, 10*time.Second, time.Millisecond)
	check(letters[0].Message.Attributes)
	require.NotContains(t, ids, letters[0].Message.MessageId, "a letter is a message of its own")
	r.nack(t, q.DeadLetter(), letters)

	// The same by streaming pull, which the high-level client uses.
	c, err := pubsub.NewClient(t.Context(), "p", option.WithGRPCConn(r.conn), option.WithoutAuthentication())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var attrs map[string]string
	require.NoError(t, c.Subscriber(q.DeadLetter().Subscription()).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		attrs = m.Attributes
		m.Ack()
		cancel()
	}))
	check(attrs)
}

func TestStaleAckIDsFailWhereDeliveryIsExactlyOnce(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{ExactlyOnce: true})
	r.publish(t, q, data("a"), data("b"))
	rms := r.pull(t, q)
	require.Len(t, rms, 2)
	r.nack(t, q, rms[:1])
	ids := []string{rms[0].AckId, rms[1].AckId}
	for range 2 { // an ack may be repeated, and a stale one stays stale
		_, err := r.sub.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: q.Subscription(), AckIds: ids})
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		details := status.Convert(err).Details()
		require.Len(t, details, 1)
		require.Equal(t, map[string]string{ids[0]: "PERMANENT_FAILURE_INVALID_ACK_ID"}, details[0].(*errdetails.ErrorInfo).Metadata)
	}
	d, err := r.Depth(q.Subscription())
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Visible+d.InFlight, "the good ack of the batch counts")
}

func TestSeekToNowPurgesAndSeekBackIsRefused(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	seek := func(at time.Time) error {
		_, err := r.sub.Seek(t.Context(), &pubsubpb.SeekRequest{
			Subscription: q.Subscription(), Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(at)}})
		return err
	}
	r.publish(t, q, data("a"), data("b"))
	require.NoError(t, seek(time.Now().Add(-time.Second)), "a clock that is a little behind")
	d, err := r.Depth(q.Subscription())
	require.NoError(t, err)
	require.Zero(t, d)
	r.publish(t, q, data("after"))
	require.Len(t, r.pull(t, q), 1)
	require.Equal(t, codes.Unimplemented, status.Code(seek(time.Now().Add(-time.Hour))))
}

func TestFaultsAndCounts(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	r.SetFault(func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method != "Publish" {
			return next()
		}
		_, err := next()
		require.NoError(t, err)
		return nil, status.Error(codes.Unavailable, "the response was lost")
	})
	_, err := r.pub.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{data("x")}})
	require.Equal(t, codes.Unavailable, status.Code(err))
	r.SetFault(nil)
	require.Len(t, r.pull(t, q), 1, "the work was done though the response was lost")
	require.Equal(t, 1, r.Calls("Publish"))
	require.Equal(t, 2, r.Calls(""))
}

func TestPolicies(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{})
	iam := iampb.NewIAMPolicyClient(r.conn)
	p, err := iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: q.Topic()})
	require.NoError(t, err)
	require.Empty(t, p.Bindings)
	p.Bindings = []*iampb.Binding{{Role: "roles/pubsub.publisher", Members: []string{"serviceAccount:x"}}}
	set := &iampb.SetIamPolicyRequest{Resource: q.Topic(), Policy: p}
	_, err = iam.SetIamPolicy(t.Context(), set)
	require.NoError(t, err)
	_, err = iam.SetIamPolicy(t.Context(), set)
	require.Equal(t, codes.Aborted, status.Code(err), "the etag is old")
	p, err = iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: q.Topic()})
	require.NoError(t, err)
	require.Len(t, p.Bindings, 1)
	_, err = iam.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: "projects/p/subscriptions/none"})
	require.Equal(t, codes.NotFound, status.Code(err))

	may, err := iam.TestIamPermissions(t.Context(), &iampb.TestIamPermissionsRequest{Resource: q.Subscription(), Permissions: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, may.Permissions)
	may, err = iam.TestIamPermissions(t.Context(), &iampb.TestIamPermissionsRequest{Resource: "projects/p/topics/none", Permissions: []string{"a"}})
	require.NoError(t, err)
	require.Empty(t, may.Permissions)
}

func TestCreateReportsWhatIsThere(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5})
	err := r.Create(t.Context(), q)
	require.Equal(t, codes.AlreadyExists, status.Code(errors.Unwrap(err)), "%v", err)
}

// TestALetterIsForwardedOnce: Google's fake alone forwards it a hundred times a
// second until its message is ten minutes old.
func TestALetterIsForwardedOnce(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, r *rig, q pubsubtest.Queue, rms []*pubsubpb.ReceivedMessage){
		"nack":    func(t *testing.T, r *rig, q pubsubtest.Queue, rms []*pubsubpb.ReceivedMessage) { r.nack(t, q, rms) },
		"timeout": func(*testing.T, *rig, pubsubtest.Queue, []*pubsubpb.ReceivedMessage) {},
	} {
		t.Run(name, func(t *testing.T) {
			fake := pubsubtest.New()
			synctest.Test(t, func(t *testing.T) {
				l := bufconn.Listen(1 << 20)
				fake.Serve(l)
				conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
					grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
				require.NoError(t, err)
				r := &rig{Server: fake, conn: conn, pub: pubsubpb.NewPublisherClient(conn), sub: pubsubpb.NewSubscriberClient(conn)}
				q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5})
				r.publish(t, q, data("x"))
				for attempt := range int32(5) {
					rms := r.pull(t, q)
					require.Len(t, rms, 1)
					require.Equal(t, attempt+1, rms[0].DeliveryAttempt)
					if attempt < 4 {
						r.nack(t, q, rms)
					} else {
						end(t, r, q, rms)
					}
				}
				<-time.After(time.Minute)
				letters, err := fake.Depth(q.DeadLetter().Subscription())
				require.NoError(t, err)
				require.EqualValues(t, 1, letters.Visible+letters.InFlight)
				rms := r.pull(t, q.DeadLetter())
				require.Len(t, rms, 1)
				_, err = r.sub.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: q.DeadLetter().Subscription(), AckIds: []string{rms[0].AckId}})
				require.NoError(t, err)
				require.Empty(t, r.pull(t, q.DeadLetter()), "the letter was forwarded again")
				left, err := fake.Depth(q.Subscription())
				require.NoError(t, err)
				require.Zero(t, left.Visible+left.InFlight)
				require.NoError(t, conn.Close())
				require.NoError(t, fake.Close())
			})
		})
	}
}

func TestTheLastAttemptCanBeAcked(t *testing.T) {
	r := start(t)
	q := r.queue(t, pubsubtest.Queue{MaxAttempts: 5, ExactlyOnce: true})
	r.publish(t, q, data("x"))
	for range 4 {
		r.nack(t, q, r.pull(t, q))
	}
	rms := r.pull(t, q)
	require.Len(t, rms, 1)
	_, err := r.sub.ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: q.Subscription(), AckIds: []string{rms[0].AckId}, AckDeadlineSeconds: 30})
	require.NoError(t, err)
	_, err = r.sub.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: q.Subscription(), AckIds: []string{rms[0].AckId}})
	require.NoError(t, err)
	d, err := r.Depth(q.Subscription())
	require.NoError(t, err)
	require.Zero(t, d.Visible+d.InFlight)
}
