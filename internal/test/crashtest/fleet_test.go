package crashtest

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/producer"
)

// scale is how big a test is: smaller under the race detector (-short), which
// looks for races.
type scale struct{ messages, workers, kills int }

func full(t *testing.T) scale {
	t.Helper()
	if !suite.Full() {
		return scale{messages: 500, workers: 5, kills: 5}
	}
	return scale{messages: 10_000, workers: 20, kills: 50}
}

// A fleet is a number of workers, each a process.
type fleet struct {
	t     *testing.T
	env   []string
	procs []*exec.Cmd
	// died is when the killed processes were surely dead, by their IDs.
	died map[int]time.Time
}

func newFleet(t *testing.T, workers int, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, env: append(os.Environ(), env...), died: make(map[int]time.Time)}
	t.Cleanup(func() {
		for _, p := range f.procs {
			_ = p.Process.Kill() // most have ended by now
			_ = p.Wait()
		}
	})
	for range workers {
		f.procs = append(f.procs, f.start())
	}
	return f
}

func (f *fleet) start() *exec.Cmd {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), os.Args[0])
	cmd.Env = f.env
	require.NoError(f.t, cmd.Start())
	return cmd
}

// kill kills a worker at random, as kill -9 does, and starts another.
func (f *fleet) kill() {
	f.t.Helper()
	i := rand.IntN(len(f.procs))
	p := f.procs[i]
	require.NoError(f.t, p.Process.Kill())
	_ = p.Wait()
	require.Equal(f.t, syscall.SIGKILL, p.ProcessState.Sys().(syscall.WaitStatus).Signal(), "it was to be killed, not to end by itself")
	f.died[p.Process.Pid] = time.Now()
	f.procs[i] = f.start()
}

// end kills all workers, also those that have just begun and do not heed signals yet.
func (f *fleet) end() {
	f.t.Helper()
	for _, p := range f.procs {
		require.NoError(f.t, p.Process.Kill())
		_ = p.Wait() // it was killed
	}
	f.procs = nil
}

// stop asks all workers to end, and waits for them.
func (f *fleet) stop() {
	f.t.Helper()
	for _, p := range f.procs {
		require.NoError(f.t, p.Process.Signal(syscall.SIGTERM))
	}
	for _, p := range f.procs {
		require.NoError(f.t, p.Wait(), "a worker that is asked to stop ends well")
	}
	f.procs = nil
}

// killing kills kills workers, spread over the work, whose progress goes from 0
// to total, and waits until it is done.
func (f *fleet) killing(kills, total int, progress func() int) {
	f.t.Helper()
	for k := range kills {
		// Not at the very end, when nobody would notice.
		due := total * 9 / 10 * (k + 1) / (kills + 1)
		require.Eventually(f.t, func() bool { return progress() >= due }, 3*time.Minute, 5*time.Millisecond, "before kill %d", k)
		f.kill()
	}
	require.Eventually(f.t, func() bool { return progress() >= total }, 3*time.Minute, 20*time.Millisecond)
}

// onQueues runs a test on a SQLite queue and on sqstest.
func onQueues(t *testing.T, test func(t *testing.T, queue string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		test(t, "sqlite://"+t.TempDir()+"/queue.db?queue=jobs&visibility_timeout=3s&max_attempts=0")
	})
	t.Run("sqstest", func(t *testing.T) {
		testserver.Credentials(t)
		s, err := sqstest.NewServer(nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		queue := "awssqs:///jobs?endpoint=" + s.URL()
		_, err = admin.Apply(t.Context(), all.Mux(), admin.Target{URL: queue, Spec: &provision.Spec{
			Name: "jobs", VisibilityTimeout: 3 * time.Second, DeadLetter: &provision.DeadLetter{MaxAttempts: 1000},
		}}, false)
		require.NoError(t, err)
		test(t, queue)
	})
}

const poisoned = 7

// fill sends n messages, each of them one to three times, and poison.
func fill(t *testing.T, queue string, n int) {
	t.Helper()
	sink, err := all.Mux().OpenSink(t.Context(), queue, nil)
	require.NoError(t, err)
	p, err := producer.New(sink, nil)
	require.NoError(t, err)
	var ms []*handler.Message
	for i := range n {
		for range 1 + i%3 {
			ms = append(ms, &handler.Message{Body: []byte("work"), DedupeID: id(i)})
		}
	}
	for i := range poisoned {
		ms = append(ms, &handler.Message{Body: []byte(poison), DedupeID: "poison-" + id(i)})
	}
	rand.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
	require.NoError(t, p.Send(t.Context(), ms...))
	require.NoError(t, p.Close())
}

// requireDrained waits until the queue is empty; the dead-letter queue must have
// the poison and nothing else.
func requireDrained(t *testing.T, queue string) {
	t.Helper()
	source, err := all.Mux().OpenSource(t.Context(), queue, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	require.Eventually(t, func() bool {
		d, err := source.(drivers.Inspector).Depth(t.Context())
		return err == nil && d.Visible+d.InFlight+d.Delayed == 0
	}, 3*time.Minute, 50*time.Millisecond, "the queue is not drained")
	seen := make(map[string]bool)
	require.Eventually(t, func() bool {
		letters, err := source.(drivers.Inspector).Peek(t.Context(), 1000, true)
		for _, m := range letters {
			seen[m.DedupeID+" "+string(m.Body)] = true
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	want := make(map[string]bool)
	for i := range poisoned {
		want["poison-"+id(i)+" "+poison] = true
	}
	require.Equal(t, want, seen, "the dead-letter queue has all the poison and nothing else")
}
