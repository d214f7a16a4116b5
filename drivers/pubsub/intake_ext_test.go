package pubsub_test

import (
	"context"
	"sync/atomic"
	"testing"

	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// A message with a field that the driver does not know is received as it was.
func TestAFieldThatTheDriverDoesNotKnow(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), &handler.Message{Body: []byte("body"), DedupeID: "id", Attributes: map[string]string{"a": "b"}})
	var unknown atomic.Int32
	var contentType atomic.Value
	withFault(t, func(ctx context.Context, method string, _ any, next func() (any, error)) (any, error) {
		resp, err := next()
		if method != "Pull" || err != nil {
			return resp, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		contentType.Store(md.Get("content-type"))
		newer := proto.CloneOf(resp.(*pubsubpb.PullResponse))
		for _, rm := range newer.ReceivedMessages {
			rm.Message.ProtoReflect().SetUnknown([]byte{7 << 3, 1})
			unknown.Add(1)
		}
		return newer, nil
	})
	m := receive(t, openSource(t, q, ""), 1)[0].Message
	require.Positive(t, unknown.Load())
	require.Equal(t, "body", string(m.Body))
	require.Equal(t, "id", m.DedupeID)
	require.Equal(t, map[string]string{"a": "b"}, m.Attributes)
	require.Equal(t, []string{"application/grpc"}, contentType.Load(), "as in a call of the SDK's own")
}

// An interceptor on a program's own connection reads and changes what is received.
func TestAnInterceptorSeesMessages(t *testing.T) {
	q := newQueue(t, pubsubtest.Queue{})
	send(t, openSink(t, q), text("sealed"))
	var seen atomic.Int32
	conn, err := grpc.NewClient("passthrough:///"+fake.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			if resp, ok := reply.(*pubsubpb.PullResponse); ok {
				for _, rm := range resp.ReceivedMessages {
					seen.Add(1)
					rm.Message.Data = []byte("opened")
				}
			}
			return err
		}))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	opts := []option.ClientOption{option.WithGRPCConn(conn), option.WithoutAuthentication()}
	subscriptions, err := apiv1.NewSubscriptionAdminClient(t.Context(), opts...)
	require.NoError(t, err)
	topics, err := apiv1.NewTopicAdminClient(t.Context(), opts...)
	require.NoError(t, err)
	s, err := pubsub.NewSource(t.Context(), pubsub.Clients{Subscriptions: subscriptions, Topics: topics}, q.Subscription(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, "opened", string(receive(t, s, 1)[0].Message.Body))
	require.EqualValues(t, 1, seen.Load())
}
