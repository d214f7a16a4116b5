package crashtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/heartbeat"
)

// lease is the visibility timeout of the queues in these tests: a busy LocalStack takes
// seconds for an answer.
const lease = 8 * time.Second

// sqsQueue makes a queue on the server at endpoint, and returns its URL.
func sqsQueue(t *testing.T, endpoint string) string {
	t.Helper()
	name := testserver.Name(t)
	queue := "awssqs:///" + name + "?endpoint=" + endpoint
	_, err := admin.Apply(t.Context(), all.Mux(), admin.Target{URL: queue, Spec: &provision.Spec{
		Name: name, VisibilityTimeout: lease, DeadLetter: &provision.DeadLetter{MaxAttempts: 1000},
	}}, false)
	require.NoError(t, err)
	return queue
}

// longWork sends one message and handles it for three leases, with heartbeat. It
// returns how often the handler was called, and the cause with which its context
// ended, once ended says that all is over.
func longWork(t *testing.T, queue string, ended func(calls int32, cause error) bool) {
	t.Helper()
	mux := all.Mux()
	sink, err := mux.OpenSink(t.Context(), queue, nil)
	require.NoError(t, err)
	require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{{Body: []byte("long")}})...))
	require.NoError(t, sink.Close())

	beat, err := heartbeat.New(nil)
	require.NoError(t, err)
	var calls atomic.Int32
	var cause atomic.Pointer[error]
	h := handler.HandlerFunc(func(ctx context.Context, _ *handler.Message) error {
		calls.Add(1)
		err := sleep.For(ctx, 3*lease)
		if err != nil {
			cause.CompareAndSwap(nil, &err)
		}
		return err
	})
	source, err := mux.OpenSource(t.Context(), queue, nil)
	require.NoError(t, err)
	c, err := consumer.New(source, handler.Chain(h, beat), &consumer.Config{Concurrency: 4, ReceiveWait: time.Second, DrainTimeout: time.Millisecond})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		stop()
		<-done // a handler may be canceled in its work
	}()
	require.Eventually(t, func() bool {
		var err error
		if p := cause.Load(); p != nil {
			err = *p
		}
		return ended(calls.Load(), err)
	}, 3*time.Minute, 50*time.Millisecond)
}

func TestThreeLeasesLongWithHeartbeat(t *testing.T) {
	suite.Only(t)
	for _, c := range []struct {
		name  string
		queue func(t *testing.T) string
	}{
		{"sqlite", func(t *testing.T) string {
			return fmt.Sprintf("sqlite://%s/queue.db?queue=jobs&visibility_timeout=%v", t.TempDir(), lease)
		}},
		{"sqstest", func(t *testing.T) string {
			s, err := sqstest.NewServer(nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			return sqsQueue(t, s.URL())
		}},
		{"LocalStack", func(t *testing.T) string { return sqsQueue(t, testserver.LocalStack(t).URL) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testserver.Credentials(t)
			queue := c.queue(t)
			source, err := all.Mux().OpenSource(t.Context(), queue, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, source.Close()) }()
			longWork(t, queue, func(calls int32, cause error) bool {
				require.NoError(t, cause, "the handler was canceled")
				require.LessOrEqual(t, calls, int32(1), "the message was delivered again while it was handled")
				if calls == 0 {
					return false
				}
				d, err := source.(drivers.Inspector).Depth(t.Context())
				require.NoError(t, err)
				return d.Visible+d.InFlight+d.Delayed == 0
			})
		})
	}
}

func TestWithoutPermissionToExtendTheHandlerIsCanceled(t *testing.T) {
	suite.Only(t)
	testserver.Credentials(t)
	s, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	queue := sqsQueue(t, s.URL())
	denied := s.Inject(sqstest.Fault{Action: "ChangeMessageVisibilityBatch", Code: "AccessDeniedException"})
	longWork(t, queue, func(_ int32, cause error) bool {
		if cause == nil {
			return false
		}
		require.ErrorIs(t, cause, handler.ErrLeaseLost)
		return true
	})
	require.Positive(t, denied.Hits())
}
