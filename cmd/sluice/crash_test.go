package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// effects counts how often each message was handled, and reports when so many
// distinct ones were.
type effects struct {
	mu    sync.Mutex
	times map[string]int
	total int
	at    int
	done  chan struct{}
}

func newEffects(at int) *effects {
	return &effects{times: make(map[string]int), at: at, done: make(chan struct{})}
}

func (e *effects) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // a killed worker's; its message comes again
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.times[string(body)]++
	e.total++
	if len(e.times) == e.at {
		close(e.done)
	}
}

func (e *effects) counts() (distinct, total int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.times), e.total
}

// A worker that is killed with SIGKILL halfway loses no message: a new worker
// handles all that the first did not finish, and little that it did.
func TestAKilledWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	const lease = 5 * time.Second
	messages := 1000
	if suite.Asked() {
		messages = 5000
	}
	server, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	env := os.Environ()
	awsEnvironment(func(name, value string) { env = append(env, name+"="+value) }, server.URL())
	// sluice returns the command line's process, which ends with the test.
	sluice := func(t *testing.T, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sluice", args...)
		cmd.Env = env
		return cmd
	}
	require.NoError(t, createSQS(t.Context(), server.URL(), "crash", int(lease.Seconds())))

	for name, queue := range map[string]string{
		"sqlite": "sqlite://" + t.TempDir() + "/jobs.db?queue=crash&visibility_timeout=" + lease.String(),
		"sqs":    "awssqs:///crash",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := newEffects(messages / 2)
			endpoint := httptest.NewServer(done)
			defer endpoint.Close()

			var lines bytes.Buffer
			for i := range messages {
				fmt.Fprintln(&lines, i)
			}
			send := sluice(t, "send", queue, "--lines")
			send.Stdin = &lines
			ids, err := send.Output()
			require.NoError(t, err)
			require.Equal(t, messages, strings.Count(string(ids), "\n"))

			first := sluice(t, "run", queue, "--http", endpoint.URL, "--concurrency", "32")
			require.NoError(t, first.Start())
			select {
			case <-done.done:
			case <-time.After(2 * time.Minute):
				t.Error("half of the messages were not handled within two minutes")
			}
			require.NoError(t, first.Process.Kill())
			require.Error(t, first.Wait(), "it was killed")
			before, _ := done.counts()
			require.GreaterOrEqual(t, before, messages/2)
			require.Less(t, before, messages, "it was killed before it was done")

			second := sluice(t, "run", queue, "--http", endpoint.URL, "--concurrency", "32", "--until-empty", "-o", "json")
			second.Stderr = os.Stderr
			out, err := second.Output()
			require.NoError(t, err)

			distinct, total := done.counts()
			require.Equal(t, messages, distinct, "every message was handled")
			for i := range messages {
				require.Contains(t, done.times, strconv.Itoa(i))
			}
			// Messages come again if the first had them in its hands: handled by 32
			// handlers, or with verdicts in batches on their way.
			require.LessOrEqual(t, total-distinct, 1000, "acks were lost")
			t.Logf("killed after %d; %d were handled twice", before, total-distinct)

			var s struct{ Received, Acked, Retried, Rejected int }
			require.NoError(t, json.Unmarshal(out, &s))
			require.Equal(t, s.Received, s.Acked)
			require.Zero(t, s.Rejected)

			depth, err := sluice(t, "depth", queue, "-o", "json").Output()
			require.NoError(t, err)
			require.Contains(t, string(depth), `"visible":0,"in_flight":0,"delayed":0,"dead_letters":0,`)
		})
	}
}
