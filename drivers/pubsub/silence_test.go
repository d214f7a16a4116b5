package pubsub

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// TestADeadPeerIsFoundOutWithinAMinute: a connection that takes bytes and gives none is
// not an idle queue, and is replaced.
func TestADeadPeerIsFoundOutWithinAMinute(t *testing.T) {
	fake := pubsubtest.New()
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 20)
		fake.Serve(l)
		q := pubsubtest.Queue{Project: "p", ID: "dead"}
		require.NoError(t, fake.Create(t.Context(), q))
		line := swallow.To(func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
		conn, err := toEmulator("fake", grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return line.Dial(ctx, "tcp", addr)
		}))
		require.NoError(t, err)
		o := []option.ClientOption{option.WithGRPCConn(conn), option.WithoutAuthentication(), option.WithTelemetryDisabled()}
		subscriptions, err := apiv1.NewSubscriptionAdminClient(t.Context(), o...)
		require.NoError(t, err)
		topics, err := apiv1.NewTopicAdminClient(t.Context(), o...)
		require.NoError(t, err)
		s, err := NewSource(t.Context(), Clients{Subscriptions: subscriptions, Topics: topics}, q.Subscription(), nil)
		require.NoError(t, err)

		_, err = s.Receive(t.Context(), 1, time.Second)
		require.NoError(t, err)
		line.Die()
		died := time.Now()
		_, err = fake.Fake().GServer.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: q.Topic(), Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
		require.NoError(t, err)
		_, err = s.Receive(t.Context(), 1, 2*time.Second)
		require.ErrorIs(t, err, drivers.ErrTransient, "silence passes for an idle queue")
		for {
			ds, err := s.Receive(t.Context(), 1, drivers.MaxWait)
			require.LessOrEqual(t, time.Since(died), time.Minute, "the dead connection is still asked: %v", err)
			if err == nil && len(ds) == 1 {
				break
			}
			<-time.After(time.Second)
		}
		t.Logf("a message is received after %v", time.Since(died))
		require.Equal(t, 2, line.Dials())
		require.NoError(t, s.Close())
		require.NoError(t, conn.Close())
		line.Close()
		require.NoError(t, fake.Close())
	})
}
