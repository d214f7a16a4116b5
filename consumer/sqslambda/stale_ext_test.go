package sqslambda_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// losesAnswer carries a change of visibility out and loses the first answer.
type losesAnswer struct {
	*http.Client
	lost atomic.Bool
}

func (l *losesAnswer) Do(r *http.Request) (*http.Response, error) {
	answer, err := l.Client.Do(r)
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ChangeMessageVisibilityBatch") && l.lost.CompareAndSwap(false, true) {
		_ = answer.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return answer, err
}

// By the time that a lost answer is noticed, a message that was given back may be
// another worker's, whose lease AWS changes by the old receipt.
func TestARetryWhoseAnswerWasLostIsRepeatedWhileNobodyElseHasIt(t *testing.T) {
	for _, c := range []struct {
		name     string
		delay    time.Duration
		requests int
	}{
		{"a moment", time.Second, 1},
		{"an hour", time.Hour, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.send(message("1", ""))
			var err error
			r.source, err = sqs.NewSource(t.Context(), awssqs.New(awssqs.Options{
				BaseEndpoint: aws.String(r.server.URL()), HTTPClient: &losesAnswer{Client: r.server.HTTPClient()}, Region: sqstest.DefaultRegion,
				Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""),
			}), r.server.QueueURL(r.name), nil)
			require.NoError(t, err)
			e := r.event()
			fn := r.function(func(context.Context, *handler.Message) error { return handler.RetryAfter(c.delay, errBoom) }, nil)
			response, err := fn.Handle(t.Context(), e)
			require.NoError(t, err)
			require.Len(t, response.BatchItemFailures, 1)
			require.Equal(t, c.requests, r.server.Count("ChangeMessageVisibilityBatch"))
		})
	}
}
