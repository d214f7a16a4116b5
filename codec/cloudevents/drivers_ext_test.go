package cloudevents_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/cloudevents"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// Every event goes through every driver in both modes and comes back the same.
func TestEveryDriverCarriesEvents(t *testing.T) {
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

	mux := all.Mux()
	file := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "queues.db")) + "?queue=orders"
	for _, c := range []struct{ system, source, sink string }{
		{"aws_sqs", "awssqs:///orders?region=us-east-1", "awssqs:///orders?region=us-east-1"},
		{"gcp_pubsub", "gcppubsub://projects/p/subscriptions/orders", "gcppubsub://projects/p/topics/orders"},
		{"sluice_mem", "mem://orders", "mem://orders"},
		{"sluice_sqlite", file, file},
	} {
		t.Run(c.system, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			sink, err := mux.OpenSink(ctx, c.sink, nil)
			require.NoError(t, err)
			source, err := mux.OpenSource(ctx, c.source, nil)
			require.NoError(t, err)
			for name, e := range events(t) {
				for _, mode := range []cloudevents.Mode{cloudevents.Auto, cloudevents.Structured} {
					m := &handler.Message{}
					require.NoError(t, cloudevents.Codec(mode).Encode(m, e))
					require.Nil(t, sink.Send(ctx, []*handler.Message{m}), "%s %v", name, mode)
					var ds []drivers.Delivery
					for len(ds) == 0 {
						ds, err = source.Receive(ctx, 1, 5*time.Second)
						require.NoError(t, err)
					}
					var got event.Event
					require.NoError(t, cloudevents.Codec(mode).Decode(ds[0].Message, &got))
					same(t, e, got)
					require.Nil(t, source.Settle(ctx, []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}}))
				}
			}
			require.NoError(t, source.Close())
			require.NoError(t, sink.Close())
		})
	}
}
