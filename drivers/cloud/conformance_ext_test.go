package cloud_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/drivers/drivertest"
)

// inMemory returns an opener of gocloud's queues in memory, as gomem://.
func inMemory() *cloud.Opener {
	o, mux := new(mempubsub.URLOpener), new(pubsub.URLMux)
	mux.RegisterTopic("gomem", o)
	mux.RegisterSubscription("gomem", o)
	return &cloud.Opener{Mux: mux}
}

const fansOut = "each of mempubsub's subscriptions gets every message that is sent while it is open, and none that was sent before"

const shared = "mempubsub's opener gives all who open a topic the same one, which the first of them shuts down"

func TestConformance(t *testing.T) {
	t.Parallel()
	mux := drivers.NewMux(inMemory())
	drivertest.Run(t, &drivertest.Harness{
		Server: "cloud on mempubsub",
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			if o.Ordered || o.Dedupe || o.MaxAttempts > 0 {
				return nil, &drivers.Error{Code: drivers.Unsupported, Op: "create", Err: errors.New("gocloud has no order, deduplication or native dead letters")}
			}
			topic := "gomem://conf-" + rand.Text()
			source := topic + "?ackdeadline=10m&max_message_bytes=900000"
			letters := topic + "-dlq"
			if o.DeadLetter {
				source += "&dead_letter=" + letters
			}
			q := drivertest.ByURL(mux, source, topic+"?max_message_bytes=900000", "")
			for _, u := range []string{topic, letters} { // mempubsub's subscriptions need the topic to be there
				sink, err := mux.OpenSink(ctx, u, nil)
				if err != nil {
					return nil, err
				}
				_ = sink // shutting it down would close the topic for all
			}
			if o.DeadLetter {
				early, err := mux.OpenSource(ctx, letters+"?ackdeadline=10m", nil)
				if err != nil {
					return nil, err
				}
				q.OpenDeadLetters = func(context.Context) (drivers.Source, error) { return early, nil }
				q.Close = early.Close
			}
			return q, nil
		},
		Exceptions: map[string]drivertest.Exception{
			"CONC-2":  {Reason: fansOut},
			"CLOSE-1": {Reason: fansOut},
			"CLOSE-4": {Reason: fansOut},
			"CLOSE-2": {Reason: shared},
			"CLOSE-5": {Reason: shared},
		},
	})
}
