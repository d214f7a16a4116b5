package sqlitequeue_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
)

// crashFile is the environment variable that makes the test binary a process
// that works on the file until it is killed.
const crashFile = "SLUICE_TEST_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		fmt.Fprintln(os.Stderr, work(path, os.Args[1]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// work sends and handles messages for ever. It reports on standard
// output, a line at a time: "sent" when a message is stored, "got" when one is
// received, "try" before it is deleted and "done" when it is.
func work(path, name string) error {
	ctx := context.Background()
	e, err := sqlitequeue.Open(ctx, path, nil)
	if err != nil {
		return err
	}
	if err := e.Create(ctx, "q", queue.Config{Ordered: true}); err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- send(ctx, e, name) }()
	go func() { failed <- handle(ctx, e) }()
	return <-failed
}

func say(verb string, ids ...string) {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&b, verb, id)
	}
	os.Stdout.WriteString(b.String())
}

func send(ctx context.Context, e queue.Engine, name string) error {
	for n := 0; ; n++ {
		ms := make([]queue.Message, 1+n%7)
		var ids []string
		for i := range ms {
			ms[i].ID = fmt.Sprintf("%s-%d-%d", name, n, i)
			ms[i].Body = make([]byte, n%3*700) // some in the row, some not
			ms[i].Group = []string{"", "g", "h"}[i%3]
			ids = append(ids, ms[i].ID)
		}
		if _, err := e.Send(ctx, "q", ms); err != nil {
			return err
		}
		say("sent", ids...)
	}
}

func handle(ctx context.Context, e queue.Engine) error {
	for {
		rs, err := e.Receive(ctx, "q", queue.ReceiveRequest{Max: 5, Visibility: 500 * time.Millisecond, Wait: time.Second})
		if err != nil {
			return err
		}
		var ids []string
		for _, r := range rs {
			ids = append(ids, r.ID)
		}
		say("got", ids...)
		say("try", ids...)
		errs := e.Delete(ctx, "q", receipts(rs))
		for i, id := range ids {
			if errs == nil || errs[i] == nil {
				say("done", id)
			}
		}
	}
}

// notes is what the processes of one round said.
type notes struct {
	mu   sync.Mutex
	said map[string]map[string]bool // by verb
	n    int
}

func (n *notes) read(r io.Reader, enough chan<- struct{}, limit int) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		verb, id, _ := strings.Cut(lines.Text(), " ")
		n.mu.Lock()
		if n.said[verb] == nil {
			n.said[verb] = map[string]bool{}
		}
		n.said[verb][id] = true
		if n.n++; n.n == limit {
			close(enough)
		}
		n.mu.Unlock()
	}
}

// TestKill kills processes that work on one file, two at a time, in the middle
// of what they do.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queues.db")
	all := &notes{said: map[string]map[string]bool{}}
	const rounds = 6
	for round := range rounds {
		this := &notes{said: map[string]map[string]bool{}}
		enough := make(chan struct{})
		limit := 150 + rand.IntN(300)
		var readers sync.WaitGroup
		var killed []*exec.Cmd
		for p := range 2 {
			cmd := exec.CommandContext(t.Context(), os.Args[0], fmt.Sprintf("p%d.%d", round, p))
			cmd.Env = append(os.Environ(), crashFile+"="+path)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			cmd.Stderr = os.Stderr
			require.NoError(t, cmd.Start())
			readers.Go(func() { this.read(out, enough, limit) })
			killed = append(killed, cmd)
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Error("the processes do nothing")
		}
		for _, cmd := range killed {
			require.NoError(t, cmd.Process.Kill()) // SIGKILL
		}
		readers.Wait()
		for _, cmd := range killed {
			require.ErrorContains(t, cmd.Wait(), "killed")
		}
		for id := range this.said["got"] {
			require.False(t, all.said["done"][id], "%s was deleted before an earlier kill, and came back", id)
		}
		for verb, ids := range this.said {
			if all.said[verb] == nil {
				all.said[verb] = map[string]bool{}
			}
			for id := range ids {
				all.said[verb][id] = true
			}
		}
	}
	require.NotEmpty(t, all.said["sent"])
	require.NotEmpty(t, all.said["done"])

	e, err := sqlitequeue.Open(t.Context(), path, nil)
	require.NoError(t, err)
	left := map[string]bool{}
	for {
		stats, err := e.Stats(t.Context(), "q")
		require.NoError(t, err)
		if stats.Visible+stats.InFlight == 0 {
			break
		}
		rs, err := e.Receive(t.Context(), "q", queue.ReceiveRequest{Max: 100, Visibility: time.Minute, Wait: time.Second})
		require.NoError(t, err)
		for _, r := range rs {
			require.False(t, all.said["done"][r.ID], "%s was deleted, and came back", r.ID)
			left[r.ID] = true
		}
		require.Nil(t, e.Delete(t.Context(), "q", receipts(rs)))
	}
	for id := range all.said["sent"] {
		require.True(t, left[id] || all.said["try"][id], "%s was sent, and is lost", id)
	}
	require.NoError(t, e.Close())
	t.Logf("sent %d, deleted %d, left %d", len(all.said["sent"]), len(all.said["done"]), len(left))
}
