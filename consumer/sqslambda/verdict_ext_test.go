package sqslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/sqslambda"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
)

var errBoom = errors.New("boom")

// TestVerdicts has the second of three messages decided on in each way. On a FIFO
// queue all three are of one group; on a standard queue they are too, and that
// means nothing.
func TestVerdicts(t *testing.T) {
	const never = -1
	for _, c := range []struct {
		name    string
		verdict func() error
		noDLQ   bool
		fault   *sqstest.Fault
		// The second message, and when it is visible again.
		failed  bool
		visible time.Duration
		letters int
		stats   sqslambda.Stats // the second message's part
		kinds   []handler.EventKind
		logged  string
	}{
		{name: "ack", verdict: func() error { return nil }, visible: never, stats: sqslambda.Stats{Counts: handler.Counts{Acked: 1}}},
		{name: "drop", verdict: func() error { return handler.Drop(errBoom) }, visible: never, stats: sqslambda.Stats{Counts: handler.Counts{Dropped: 1}}, logged: "message dropped"},
		{name: "retry", verdict: func() error { return errBoom }, failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry at once", verdict: func() error { return handler.RetryAfter(0, errBoom) }, failed: true, visible: 0, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry later", verdict: func() error { return fmt.Errorf("wrapped: %w", handler.RetryAfter(20*time.Second, errBoom)) },
			failed: true, visible: 20 * time.Second, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry much later", verdict: func() error { return handler.RetryAfter(5*visibility, nil) }, failed: true, visible: 5 * visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry beyond the longest delay", verdict: func() error { return handler.RetryAfter(24*time.Hour, nil) },
			failed: true, visible: 12*time.Hour - visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "retry whose delay is refused", verdict: func() error { return handler.RetryAfter(20*time.Second, errBoom) },
			fault:  &sqstest.Fault{Action: "ChangeMessageVisibilityBatch", Code: "AccessDeniedException"},
			failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Unsettled: 1}}, logged: "verdict could not be carried out"},
		{name: "retry whose delay is refused at first", verdict: func() error { return handler.RetryAfter(20*time.Second, errBoom) },
			fault:  &sqstest.Fault{Action: "ChangeMessageVisibilityBatch", Code: "InternalFailure", Times: 2},
			failed: true, visible: 20 * time.Second, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
		{name: "reject", verdict: func() error { return handler.Reject(errBoom) }, visible: never, letters: 1, stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "reject without a dead-letter queue", verdict: func() error { return handler.Reject(errBoom) }, noDLQ: true,
			failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}, kinds: []handler.EventKind{handler.EventNoDeadLetter}, logged: "no dead-letter queue"},
		{name: "reject that is not sent", verdict: func() error { return handler.Reject(errBoom) },
			fault:  &sqstest.Fault{Action: "SendMessageBatch", Code: "AccessDeniedException"},
			failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Unsettled: 1}}, logged: "verdict could not be carried out"},
		{name: "reject that is sent and not deleted at first", verdict: func() error { return handler.Reject(errBoom) },
			fault:   &sqstest.Fault{Action: "DeleteMessageBatch", Code: "InternalFailure", Times: 2},
			visible: never, letters: 1, stats: sqslambda.Stats{Counts: handler.Counts{DeadLettered: 1}}},
		{name: "panic", verdict: func() error { panic("at the disco") }, failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}, Panics: 1}, logged: "verdict_ext_test.go"},
		{name: "panic with a verdict", verdict: func() error { panic(handler.Drop(errBoom)) }, failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}, Panics: 1}, logged: "handler panicked"},
		{name: "goexit", verdict: func() error { runtime.Goexit(); return nil }, failed: true, visible: visibility, stats: sqslambda.Stats{Counts: handler.Counts{Retried: 1}}},
	} {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fifo=%t", c.name, fifo), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigOptions{fifo: fifo, noDLQ: c.noDLQ})
					r.send(message("1", "g"), message("2", "g"), message("3", "g"))
					e := r.event()
					require.Len(t, e.Records, 3)
					var fault *sqstest.Injection
					if c.fault != nil {
						fault = r.server.Inject(*c.fault)
					}
					var text bytes.Buffer
					seen := &history{}
					var mu sync.Mutex
					handled := 0
					fn := r.function(func(_ context.Context, m *handler.Message) error {
						mu.Lock()
						handled++
						mu.Unlock()
						if string(m.Body) == "2" {
							return c.verdict()
						}
						return nil
					}, &sqslambda.Config{Observers: []handler.Observer{seen}, Logger: slog.New(slog.NewTextHandler(&text, nil))})
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					began := time.Now()
					response, err := fn.Handle(ctx, e)
					took := time.Since(began)
					require.NoError(t, err)
					require.Less(t, took, 5*time.Second)

					// Who fails: the message, and on a FIFO queue those after it.
					want, stats := []string{}, c.stats
					stats.Events, stats.Received = 1, 3
					stats.Acked += 2
					if c.failed {
						want = append(want, "2")
						if fifo {
							want = append(want, "3")
							stats.Acked--
							stats.Released++
						}
					}
					require.Equal(t, want, failed(t, e, response))
					require.Equal(t, stats, fn.Stats())
					require.Equal(t, int(stats.Received-stats.Released), handled)
					if fault != nil {
						require.Positive(t, fault.Hits(), "the fault has not struck")
						fault.Remove()
					}
					require.Contains(t, text.String(), c.logged)
					if c.logged == "" {
						require.Empty(t, text.String())
					}

					// Observers see each message's beginning and end.
					kinds := seen.kinds()
					require.Equal(t, 1, kinds[handler.EventReceived])
					require.Equal(t, handled, kinds[handler.EventStarted])
					require.Equal(t, handled, kinds[handler.EventHandled])
					require.Equal(t, 3, kinds[handler.EventSettled]+kinds[handler.EventReleased])
					require.Equal(t, int(stats.Released), kinds[handler.EventReleased])
					for _, k := range c.kinds {
						require.Positive(t, kinds[k])
					}

					// Lambda has deleted some; when is the rest visible?
					gone := map[string]bool{}
					for _, body := range want {
						gone[body] = true
					}
					for _, m := range e.Records {
						// The function has deleted a letter itself: it must not come back.
						if gone[m.Body] || c.letters > 0 && m.Body == "2" {
							continue
						}
						require.NoError(t, deleteMessage(t.Context(), r, m.ReceiptHandle))
					}
					if c.letters > 0 {
						letters := r.receive(r.dlq)
						require.Len(t, letters, c.letters)
						require.Equal(t, "2", *letters[0].Body)
						require.Equal(t, "rejected: boom", *letters[0].MessageAttributes[drivers.AttributeDeadLetterReason].StringValue)
						require.Equal(t, r.name, *letters[0].MessageAttributes[drivers.AttributeDeadLetterQueue].StringValue)
					}
					back := r.visible(visibility*6 + time.Second)
					if c.visible > visibility*6 {
						require.Empty(t, back)
						_ = sleep.For(t.Context(), 12*time.Hour)
						require.Equal(t, "2", *r.receive(r.name)[0].Body)
						return
					}
					require.Len(t, back, len(want))
					for _, body := range want {
						require.InDelta(t, c.visible.Seconds(), (back[body] + took).Seconds(), 2, "message %s", body)
					}
				})
			})
		}
	}
}
