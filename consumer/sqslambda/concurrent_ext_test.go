package sqslambda_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/handler"
)

// TestEventsAtTheSameTime has one environment take several invocations together, as
// Lambda's managed instances do.
func TestEventsAtTheSameTime(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.send(message("1", ""), message("2", ""), message("3", ""))
	e := r.event()
	fn := r.function(func(_ context.Context, m *handler.Message) error {
		switch string(m.Body) {
		case "2":
			return handler.RetryAfter(time.Minute, errBoom)
		case "3":
			return errBoom
		}
		return nil
	}, nil)
	const invocations = 20
	var work sync.WaitGroup
	responses := make([][]string, invocations)
	for n := range invocations {
		work.Go(func() {
			response, err := fn.Handle(t.Context(), e)
			if err == nil {
				for _, f := range response.BatchItemFailures {
					responses[n] = append(responses[n], f.ItemIdentifier)
				}
			}
		})
	}
	work.Wait()
	ids := map[string]string{}
	for _, m := range e.Records {
		ids[m.Body] = m.MessageId
	}
	for _, got := range responses {
		require.ElementsMatch(t, []string{ids["2"], ids["3"]}, got)
	}
	require.Equal(t, sqslambda.Stats{Counts: handler.Counts{Received: 3 * invocations, Acked: invocations, Retried: 2 * invocations}, Events: invocations}, fn.Stats())
}
