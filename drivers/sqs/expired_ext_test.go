package sqs_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// Credentials that expire for long are an outage, whichever request finds it
// out: the worker goes on as soon as there are new ones.
func TestExpiredCredentialsAreAnOutage(t *testing.T) {
	t.Parallel()
	pass := func(d time.Duration) {
		<-time.After(d)
		synctest.Wait()
	}
	for _, code := range []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired"} {
		for name, actions := range map[string][]string{
			"receives": {"ReceiveMessage"}, "settlements": {"DeleteMessage", "DeleteMessageBatch"},
			"everything": {""},
		} {
			if code != "ExpiredToken" && name != "settlements" {
				continue
			}
			t.Run(code+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t)
					url := v.create("orders", map[string]string{"VisibilityTimeout": "60"})
					src, err := sqs.NewSource(t.Context(), v.client, url, nil)
					require.NoError(t, err)
					defer func() { require.NoError(t, src.Close()) }()
					worker, err := consumer.New(src, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }),
						&consumer.Config{Logger: slog.New(slog.DiscardHandler)})
					require.NoError(t, err)
					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan error, 1)
					go func() { ended <- worker.Run(ctx) }()
					synctest.Wait()

					var faults []*sqstest.Injection
					for _, action := range actions {
						faults = append(faults, v.server.Inject(sqstest.Fault{Action: action, Code: code, Status: 403}))
					}
					if actions[0] != "" {
						v.send(url, "m")
					}
					pass(40 * time.Minute)
					hits := 0
					for _, f := range faults {
						hits += f.Hits()
						f.Remove()
					}
					require.Positive(t, hits, "it did happen")
					select {
					case err := <-ended:
						t.Fatal("the worker has ended:", err)
					default:
					}
					if actions[0] == "" {
						v.send(url, "m")
					}
					pass(5 * time.Minute)
					require.Zero(t, v.depth(url))
					require.EqualValues(t, 1, worker.Stats().Acked)
					cancel()
					require.NoError(t, <-ended)
				})
			})
		}
	}
}
