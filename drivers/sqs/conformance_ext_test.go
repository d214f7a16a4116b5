package sqs_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	testserver.Credentials(t)
	t.Run("sqstest", func(t *testing.T) {
		t.Parallel()
		s, err := sqstest.NewServer(nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		h := harness(t, "sqs on sqstest", s.URL(), nil)
		h.Parallel = 32 // the server is in this process
		h.Unmade = func(context.Context) (drivers.Opener, *url.URL, error) {
			u, err := url.Parse(sqsURL(s.URL(), "conf-"+strings.ToLower(rand.Text()[:12])))
			return &sqs.Opener{}, u, err
		}
		drivertest.Run(t, h)
	})
	t.Run("LocalStack", func(t *testing.T) {
		t.Parallel()
		drivertest.Run(t, harness(t, "sqs on LocalStack", testserver.LocalStack(t).URL, map[string]drivertest.Exception{
			"DUP-3":  {Reason: "on a FIFO queue LocalStack refuses a stale receipt only until the message is received again; AWS says that it has expired"},
			"DUP-4":  {Reason: "on a FIFO queue LocalStack refuses a stale receipt only until the message is received again; AWS says that it has expired"},
			"REDR-2": {Reason: "after a move task LocalStack goes on with the receive count that it reports, though it counts anew for dead-lettering; AWS reports 1"},
		}))
	})
	t.Run("ElasticMQ", func(t *testing.T) {
		t.Parallel()
		drivertest.Run(t, harness(t, "sqs on ElasticMQ", testserver.ElasticMQ(t).URL, nil))
	})
}

// client returns a plain client of the SDK for the server at endpoint.
func client(t testing.TB, endpoint string) *awssqs.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	h := sqs.HTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	return awssqs.NewFromConfig(cfg, func(o *awssqs.Options) {
		o.BaseEndpoint = &endpoint
		o.HTTPClient = h
	})
}

// sqsURL is the driver's URL of the named queue on the server at endpoint.
func sqsURL(endpoint, name string) string {
	return "awssqs:///" + name + "?endpoint=" + endpoint
}

// harness makes queues on the server at endpoint as a user of the SDK would,
// and opens them by URL.
func harness(t *testing.T, server, endpoint string, exceptions map[string]drivertest.Exception) *drivertest.Harness {
	t.Helper()
	api := client(t, endpoint)
	mux := drivers.NewMux(&sqs.Opener{})
	return &drivertest.Harness{
		Server:     server,
		Exceptions: exceptions,
		// Three servers at the same time on a busy machine need room in their leases.
		MinLease: 4 * time.Second,
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			fifo := o.Ordered || o.Dedupe
			name, attributes := "conf-"+strings.ToLower(rand.Text()[:12]), map[string]string{}
			if fifo {
				attributes["FifoQueue"] = "true"
			}
			dead := ""
			if o.DeadLetter {
				dead = withSuffix(name+"-dlq", fifo)
				out, err := api.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &dead, Attributes: attributes})
				if err != nil {
					return nil, err
				}
				policy, err := redrivePolicy(ctx, api, *out.QueueUrl, o.MaxAttempts)
				if err != nil {
					return nil, err
				}
				attributes["RedrivePolicy"] = policy
			}
			attributes["VisibilityTimeout"] = strconv.Itoa(int(o.Lease / time.Second))
			name = withSuffix(name, fifo)
			out, err := api.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
			if err != nil {
				return nil, err
			}
			letters := ""
			if dead != "" {
				letters = sqsURL(endpoint, dead)
			}
			q := drivertest.ByURL(mux, sqsURL(endpoint, name), sqsURL(endpoint, name), letters)
			q.Remove = func(ctx context.Context) error {
				_, err := api.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
				return err
			}
			return q, nil
		},
		Missing: func(context.Context) (*drivertest.Queue, error) {
			u := sqsURL(endpoint, "missing-"+strings.ToLower(rand.Text()[:12]))
			return drivertest.ByURL(mux, u, u, ""), nil
		},
	}
}

func withSuffix(name string, fifo bool) string {
	if fifo {
		return name + ".fifo"
	}
	return name
}

// redrivePolicy is a policy whose target is the queue that has the URL.
func redrivePolicy(ctx context.Context, api *awssqs.Client, queueURL string, attempts int) (string, error) {
	out, err := api.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", err
	}
	if attempts == 0 {
		attempts = 1000
	}
	policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": out.Attributes["QueueArn"], "maxReceiveCount": fmt.Sprint(attempts)})
	return string(policy), err
}

// queue makes a standard queue on the server at endpoint and returns its name.
func queue(t *testing.T, endpoint string) string {
	t.Helper()
	name := testserver.Name(t)
	_, err := client(t, endpoint).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name})
	require.NoError(t, err)
	return name
}
