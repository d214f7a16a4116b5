package all_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

// providers starts the servers behind the URLs of the tests.
func providers(t *testing.T) {
	t.Helper()
	google, err := pubsubtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, google.Close()) })
	t.Setenv("PUBSUB_EMULATOR_HOST", google.Addr())
	require.NoError(t, google.Create(t.Context(), pubsubtest.Queue{Project: "p", ID: "orders"}))

	amazon, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, amazon.Close()) })
	for _, v := range amazon.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	_, err = awssqs.NewFromConfig(cfg).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders")})
	require.NoError(t, err)
	t.Setenv("NATS_SERVER_URL", natsserver.Start(t))
}

func TestOneMuxOpensThemAll(t *testing.T) {
	providers(t)
	file := filepath.ToSlash(filepath.Join(t.TempDir(), "queues.db"))
	mux := all.Mux()
	tested := map[string]bool{}
	for _, c := range []struct{ system, source, sink string }{
		{"aws_sqs", "awssqs:///orders?region=us-east-1", "awssqs:///orders?region=us-east-1"},
		{"gcp_pubsub", "gcppubsub://projects/p/subscriptions/orders", "gcppubsub://projects/p/topics/orders"},
		{"sluice_mem", "mem://orders", "mem://orders"},
		{"sluice_sqlite", "sqlite://" + file + "?queue=orders", "sqlite://" + file + "?queue=orders"},
		{"nats", "nats://orders?queue=workers&retry=republish", "nats://orders"},
	} {
		t.Run(c.system, func(t *testing.T) {
			scheme, _, _ := strings.Cut(c.source, ":")
			tested[scheme] = true
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			sink, err := mux.OpenSink(ctx, c.sink, nil)
			require.NoError(t, err)
			source, err := mux.OpenSource(ctx, c.source, nil) // before the send: NATS keeps nothing for later
			require.NoError(t, err)
			require.Equal(t, c.system, source.Capabilities().System)
			require.Nil(t, sink.Send(ctx, []*handler.Message{{Body: []byte("x")}}))
			var ds []drivers.Delivery
			for len(ds) == 0 {
				ds, err = source.Receive(ctx, 1, time.Second)
				require.NoError(t, err)
			}
			require.Equal(t, "x", string(ds[0].Message.Body))
			require.Nil(t, source.Settle(ctx, []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}}))
			require.NoError(t, source.Close())
			require.NoError(t, sink.Close())
		})
	}
	for _, scheme := range mux.Schemes() {
		require.True(t, tested[scheme], "the scheme %s is not tested", scheme)
	}
}

func TestAnUnknownSchemeNamesTheNearest(t *testing.T) {
	_, err := all.Mux().OpenSource(t.Context(), "gcppubsubs://projects/p/subscriptions/s", nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.ErrorContains(t, err, `did you mean "gcppubsub"?`)
}

func TestEachMuxHasItsOwnQueuesInMemory(t *testing.T) {
	sink, err := all.Mux().OpenSink(t.Context(), "mem://orders", nil)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte("x")}}))
	source, err := all.Mux().OpenSource(t.Context(), "mem://orders", nil)
	require.NoError(t, err)
	ds, err := source.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Empty(t, ds)
}
