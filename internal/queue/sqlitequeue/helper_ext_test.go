package sqlitequeue_test

import (
	"fmt"
	"time"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue"
)

// newClock returns a clock that stands still until it is moved.
func newClock() *sqstest.ManualClock { return sqstest.NewManualClock(time.Unix(1_800_000_000, 0)) }

// text returns a message for each body.
func text(bodies ...string) []queue.Message {
	ms := make([]queue.Message, len(bodies))
	for i, b := range bodies {
		ms[i].Body = []byte(b)
	}
	return ms
}

func numbered(n int) []queue.Message {
	ms := make([]queue.Message, n)
	for i := range ms {
		ms[i].Body = fmt.Append(nil, i)
	}
	return ms
}

func receipts(rs []queue.Received) []string {
	out := make([]string, len(rs))
	for i := range rs {
		out[i] = rs[i].Receipt
	}
	return out
}
