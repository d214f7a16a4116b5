package sqslambda_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/lambdatest"
)

// FuzzEvent has any event document handled: no panic, no message that is neither
// handled nor reported, and no response of which Lambda would retry the whole
// batch.
func FuzzEvent(f *testing.F) {
	standard, fifo := newRig(f, rigOptions{}), newRig(f, rigOptions{fifo: true})
	real, err := os.ReadFile("testdata/sqs-event.json")
	require.NoError(f, err)
	f.Add([]byte(strings.ReplaceAll(string(real), "arn:aws:sqs:us-west-2:123456789012:SQSQueue", standard.server.QueueARN(standard.name))), false)
	f.Add([]byte(`{"Records":[{"messageId":"1","body":"AAEC","messageAttributes":{"sluice-body":{"stringValue":"base64","dataType":"String"}}},{"messageId":"1"}]}`), true)
	f.Add([]byte(`{"Records":[{"messageId":""}]}`), false)
	f.Add([]byte(`{"Records":[{"messageId":"1","receiptHandle":"x","body":"r","attributes":{"MessageGroupId":"g","ApproximateReceiveCount":"-1","SentTimestamp":"z"}}]}`), true)
	f.Add([]byte(`null`), false)
	for _, r := range []*rig{standard, fifo} {
		r.send(message("x", "g"), message("y", "g"), message("\x00", "h"))
		document, err := lambdatest.Event(r.server.QueueARN(r.name), r.receive(r.name))
		require.NoError(f, err)
		f.Add(document, r == fifo)
	}
	f.Fuzz(func(t *testing.T, document []byte, ordered bool) {
		var e events.SQSEvent
		if json.Unmarshal(document, &e) != nil || len(e.Records) > 50 {
			return
		}
		r := standard
		if ordered {
			r = fifo
		}
		var handled atomic.Int64
		fn, err := sqslambda.New(r.source, handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			handled.Add(1)
			switch (len(m.Body) + len(m.Attributes)) % 6 {
			case 1:
				return errBoom
			case 2:
				return handler.RetryAfter(time.Second, errBoom)
			case 3:
				return handler.Reject(errBoom)
			case 4:
				panic("fuzz")
			case 5:
				return handler.Drop(errBoom)
			}
			return nil
		}), nil)
		require.NoError(t, err)
		response, err := fn.Handle(t.Context(), e)
		s := fn.Stats()
		if err != nil {
			require.Empty(t, response.BatchItemFailures)
			require.Zero(t, handled.Load(), "a batch of which something was handled is retried whole")
			return
		}
		ids := make([]string, len(e.Records))
		for i := range e.Records {
			ids[i] = e.Records[i].MessageId
		}
		text, err := json.Marshal(response)
		require.NoError(t, err)
		named, err := lambdatest.Failures(text, ids)
		require.NoError(t, err)
		require.EqualValues(t, len(e.Records), s.Received)
		// Each message has one end. An unsettled one that was not handled counts
		// as released as well.
		require.GreaterOrEqual(t, s.Acked+s.Retried+s.DeadLettered+s.Dropped+s.Released+s.Unsettled, s.Received)
		require.Equal(t, s.Received, uint64(handled.Load())+s.Released)
		require.GreaterOrEqual(t, s.Retried+s.Released+s.Unsettled, uint64(len(named)))
		if s.Retried+s.Released+s.Unsettled > 0 {
			require.NotEmpty(t, named, "something failed and Lambda would delete it")
		}
	})
}
