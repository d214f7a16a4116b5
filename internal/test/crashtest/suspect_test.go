package crashtest

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
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
)

const (
	envKilled = "CRASHTEST_KILLED" // its body kills the worker
	killer    = "killer"
)

// killed is the main of a worker that a message kills, as one does that makes its
// process run out of memory.
func killed(ctx context.Context, source drivers.Source) error {
	h := handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if err := sleep.For(ctx, 20*time.Millisecond); err != nil { // its neighbours have begun
			return err
		}
		if string(m.Body) == killer {
			self, err := os.FindProcess(os.Getpid())
			if err != nil {
				return err
			}
			return self.Kill()
		}
		return sleep.For(ctx, 50*time.Millisecond)
	})
	c, err := consumer.New(source, h, &consumer.Config{Concurrency: 16, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// A message that kills its process must not take the messages beside it along: only it
// ends in the dead-letter queue.
func TestAMessageThatKillsItsProcessIsTheOnlyLetter(t *testing.T) {
	suite.Only(t)
	const (
		neighbours = 12
		attempts   = 3
	)
	for name, open := range map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string {
			return "sqlite://" + t.TempDir() + "/queue.db?queue=jobs&visibility_timeout=1s&max_attempts=3"
		},
		"sqstest": func(t *testing.T) string {
			testserver.Credentials(t)
			s, err := sqstest.NewServer(nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			queue := "awssqs:///jobs?endpoint=" + s.URL()
			_, err = admin.Apply(t.Context(), all.Mux(), admin.Target{URL: queue, Spec: &provision.Spec{
				Name: "jobs", VisibilityTimeout: time.Second, DeadLetter: &provision.DeadLetter{MaxAttempts: attempts},
			}}, false)
			require.NoError(t, err)
			return queue
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := open(t)
			sink, err := all.Mux().OpenSink(t.Context(), queue, nil)
			require.NoError(t, err)
			ms := []*handler.Message{{Body: []byte(killer), DedupeID: killer}}
			for i := range neighbours {
				ms = append(ms, &handler.Message{Body: []byte("work"), DedupeID: id(i)})
			}
			for len(ms) > 0 {
				n := min(len(ms), 10)
				for _, err := range sink.Send(t.Context(), ms[:n]) {
					require.NoError(t, err)
				}
				ms = ms[n:]
			}
			source, err := all.Mux().OpenSource(t.Context(), queue, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, source.Close()) }()
			inspector := source.(drivers.Inspector)

			end, deaths := time.Now().Add(2*time.Minute), 0
			for done := false; !done; {
				worker := exec.CommandContext(t.Context(), os.Args[0])
				worker.Env = append(os.Environ(), envQueue+"="+queue, envKilled+"=1")
				require.NoError(t, worker.Start())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = worker.Wait() }()
				for over := false; !over; {
					select {
					case <-ended:
						deaths++
						over = true
					case <-time.After(20 * time.Millisecond):
						d, err := inspector.Depth(t.Context())
						require.NoError(t, err)
						if d.Visible+d.InFlight+d.Delayed == 0 {
							over, done = true, true
							require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
							<-ended
						}
						require.True(t, time.Now().Before(end), "the queue is not drained: %+v", d)
					}
				}
			}
			require.LessOrEqual(t, deaths, attempts)
			letters, err := inspector.Peek(t.Context(), 100, true)
			require.NoError(t, err)
			bodies := make([]string, len(letters))
			for i, m := range letters {
				bodies[i] = string(m.Body)
			}
			require.Equal(t, []string{killer}, bodies)
		})
	}
}
