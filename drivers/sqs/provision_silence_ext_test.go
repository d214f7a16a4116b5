package sqs_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

// silentFor is a transport that never answers one action.
type silentFor struct {
	action string
	next   http.RoundTripper
}

func (s silentFor) RoundTrip(r *http.Request) (*http.Response, error) {
	action := r.URL.Path // of CloudWatch's protocol
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		action = target
	}
	if strings.HasSuffix(strings.NewReplacer(".", "/").Replace(action), "/"+s.action) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return s.next.RoundTrip(r)
}

// A server that falls silent during a plan or an apply ends neither in a wait without an
// end nor in a bare "context deadline exceeded": the error names the queue and says that
// the endpoint did not answer. A deadline of the caller's stays its own.
func TestApplyToASilentServerEnds(t *testing.T) {
	t.Parallel()
	for _, action := range []string{
		"GetQueueUrl", "GetQueueAttributes", "ListQueueTags", "CreateQueue", "SetQueueAttributes", "TagQueue", "DescribeAlarms",
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, err := sqstest.New(nil)
				require.NoError(t, err)
				defer func() { require.NoError(t, server.Close()) }()
				to := func(h *http.Client) *drivers.Mux {
					return drivers.NewMux(&sqs.Opener{AWS: &aws.Config{
						Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), HTTPClient: h,
						Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
					}})
				}
				first := admin.Target{Name: "orders", URL: "awssqs:///orders", Spec: &provision.Spec{Retention: time.Hour}}
				if action != "CreateQueue" {
					_, err = admin.Apply(t.Context(), to(server.HTTPClient()), first, false)
					require.NoError(t, err)
				}
				second := first
				second.Spec = &provision.Spec{Retention: 2 * time.Hour, Tags: map[string]string{"team": "shop"}, Alarms: &provision.Alarms{OldestAge: time.Minute}}
				silent := to(&http.Client{Transport: silentFor{action, server.HTTPClient().Transport}})

				began := time.Now()
				_, err = admin.Apply(t.Context(), silent, second, false)
				require.ErrorIs(t, err, drivers.ErrTransient)
				require.ErrorContains(t, err, `queue "orders"`)
				require.ErrorContains(t, err, "the endpoint did not answer in time")
				require.LessOrEqual(t, time.Since(began), time.Minute)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = admin.Apply(ctx, silent, second, false)
				var classified *drivers.Error
				require.Error(t, err)
				require.NotErrorAs(t, err, &classified)
			})
		})
	}
}
