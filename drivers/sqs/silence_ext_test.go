package sqs_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// TestADeadConnectionIsFoundOutWithinAMinute: connections that take bytes and carry
// none cost a request each, but for the first time-out, after which the others are
// given up.
func TestADeadConnectionIsFoundOutWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		queueURL := v.create("orders", nil)
		l := swallow.NewPipes()
		web := &http.Server{Handler: v.server, ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		line := swallow.To(func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
		client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DialContext, t.Proxy = line.Dial, nil })
		o := &sqs.Opener{AWS: &aws.Config{Region: sqstest.DefaultRegion, HTTPClient: client, Credentials: credentials.NewStaticCredentialsProvider("any", "thing", "")}}
		u, err := url.Parse("awssqs:///orders?endpoint=" + url.QueryEscape(v.server.URL()))
		require.NoError(t, err)
		src, err := o.OpenSource(t.Context(), u, nil)
		require.NoError(t, err)

		// Several connections are idle when the line dies.
		const many = 6
		idle := func() {
			var polls errgroup.Group
			for range many {
				polls.Go(func() error {
					_, err := src.Receive(t.Context(), 1, time.Second)
					return err
				})
			}
			require.NoError(t, polls.Wait())
		}
		idle()
		require.GreaterOrEqual(t, line.Dials(), many)
		failed := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := src.Receive(t.Context(), 1, 20*time.Second)
			failed <- err
		}()
		synctest.Wait()
		line.Die()
		v.send(queueURL, "x")
		require.ErrorIs(t, <-failed, drivers.ErrTransient)
		require.LessOrEqual(t, time.Since(began), time.Minute)
		t.Logf("a receive of 20 s ends after %v", time.Since(began))

		began = time.Now()
		ds, err := src.Receive(t.Context(), 1, 20*time.Second)
		require.NoError(t, err, "after %v", time.Since(began))
		require.Len(t, ds, 1)

		// A settlement, also one whose lease ends soon.
		settle := func(within time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			return errorOf(src.Settle(ctx, []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}}))
		}
		for _, within := range []time.Duration{time.Hour, 5 * time.Second} {
			idle()
			line.Die()
			began = time.Now()
			require.Error(t, settle(within))
			require.LessOrEqual(t, time.Since(began), time.Minute)
			t.Logf("a settlement within %v ends after %v", within, time.Since(began))
			require.NoError(t, settle(within), "the connections that were idle are dead as well")
		}
		require.Zero(t, v.depth(queueURL))

		require.NoError(t, src.Close())
		line.Close()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

// errorOf is the error of a batch of one.
func errorOf(errs []error) error {
	if errs == nil {
		return nil
	}
	return errs[0]
}

// A server that does not answer fails each request of a plan and of its changes, and the
// error says so.
func TestAServerThatDoesNotAnswerFailsAPlan(t *testing.T) {
	for action, made := range map[string]bool{
		"GetQueueUrl": true, "GetQueueAttributes": true, "ListQueueTags": true, "CreateQueue": false, "SetQueueAttributes": true, "TagQueue": true,
	} {
		t.Run(action, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVirtual(t)
				o := &sqs.Opener{AWS: &aws.Config{
					Region: sqstest.DefaultRegion, HTTPClient: v.server.HTTPClient(), Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
				}}
				u, wish := mustURL(t, v.server.URL(), "orders"), spec()
				if made {
					_, err := applyTo(t, o, u, wish, false)
					require.NoError(t, err)
					wish.VisibilityTimeout, wish.Tags = 2*time.Minute, map[string]string{"team": "orders"}
				}
				silent := v.server.Inject(sqstest.Fault{Action: action, Delay: time.Hour})
				began := time.Now()
				_, err := applyTo(t, o, u, wish, false)
				require.Positive(t, silent.Hits())
				require.ErrorIs(t, err, drivers.ErrTransient)
				require.LessOrEqual(t, time.Since(began), time.Minute)
			})
		})
	}
}
