package redrive_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// crashing makes this test binary a process that redrives every third letter of
// the queue whose URL it holds, and is killed.
const crashing = "SLUICE_TEST_REDRIVE"

func redriveUntilKilled() {
	ctx := context.Background()
	source, err := mux().OpenSource(ctx, os.Getenv(crashing), nil)
	if err == nil {
		_, err = redrive.Run(ctx, source, everyThird())
	}
	fmt.Fprintln(os.Stderr, "the redrive ended before it was killed:", err)
	os.Exit(1)
}

func everyThird() *redrive.Options {
	return &redrive.Options{Filter: letters.Filter{Attributes: map[string]string{"third": "true"}}}
}

// A skewed clock is the real one, put forward.
type skewed struct{ by atomic.Int64 }

func (c *skewed) Now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

func (c *skewed) After(d time.Duration) <-chan time.Time { return time.After(d) }

// A process that redrives every third of ten thousand letters is killed between
// sending a batch back and deleting it. Whoever redrives next finds every letter
// in one of the queues, and at most that batch in both.
func TestACrashLosesNone(t *testing.T) {
	t.Parallel()
	const all, batch = 10_000, 10
	clock := new(skewed)
	s := serve(t, &sqstest.Config{Clock: clock})
	r := onSQS(t, s, provision.Spec{})
	fill(t, s, r.name+"-dlq", all)

	crash := s.Inject(sqstest.Fault{Action: "DeleteMessageBatch", Queue: r.name + "-dlq", Skip: 150, Delay: time.Hour, Refuse: true})
	exe, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), crashing+"=awssqs:///"+r.name+"?endpoint="+s.URL())
	child.Stderr = os.Stderr
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool { return crash.Hits() > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	s.RemoveFaults()

	sent := s.Count("SendMessageBatch")
	require.NotZero(t, sent)
	// The letters of the killed process come back by themselves.
	clock.by.Add(int64(11 * time.Minute))
	got := run(t, r, everyThird())
	require.Greater(t, got.Moved, int64(all/6), "the crash was in the middle")

	back := count(t, drain(t, r.source))
	const thirds = (all + 2) / 3
	doubles := 0
	for i := range all {
		n := back[i]
		if i%3 != 0 {
			require.Zero(t, n, "letter %d was not wanted", i)
			continue
		}
		require.NotZero(t, n, "letter %d is lost", i)
		doubles += n - 1
	}
	require.Len(t, back, thirds)
	require.Positive(t, doubles, "the crash was between sending and deleting")
	require.LessOrEqual(t, doubles, batch)
	left := r.left(t)
	require.Len(t, left, all-thirds)
	t.Logf("%d letters brought back after the crash, %d before, %d of them doubled", got.Moved, thirds-int(got.Moved)+doubles, doubles)
}

func count(t *testing.T, ms []*handler.Message) map[int]int {
	t.Helper()
	out := map[int]int{}
	for _, m := range ms {
		n, err := strconv.Atoi(string(m.Body))
		require.NoError(t, err)
		out[n]++
	}
	return out
}

// fill sends letters to a dead-letter queue.
func fill(t testing.TB, s *sqstest.Server, name string, n int) {
	t.Helper()
	sink, err := mux().OpenSink(t.Context(), "awssqs:///"+name+"?endpoint="+s.URL(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	var g errgroup.Group
	g.SetLimit(4)
	for i := 0; i < n; i += 10 {
		ms := make([]*handler.Message, 0, 10)
		for j := i; j < i+10 && j < n; j++ {
			ms = append(ms, &handler.Message{Body: []byte(strconv.Itoa(j)), Attributes: map[string]string{"third": strconv.FormatBool(j%3 == 0)}})
		}
		g.Go(func() error {
			for _, err := range sink.Send(t.Context(), ms) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}

func BenchmarkSelective(b *testing.B) {
	s := serve(b, nil)
	r := onSQS(b, s, provision.Spec{})
	fill(b, s, r.name+"-dlq", b.N)
	b.ResetTimer()
	got, err := redrive.Run(b.Context(), r.source, &redrive.Options{Max: b.N})
	require.NoError(b, err)
	require.EqualValues(b, b.N, got.Moved)
}
