package cli

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// setColumns sets a terminal's width.
func setColumns(t *testing.T, terminal *os.File, width uint16) {
	t.Helper()
	require.NoError(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: 24})) //nolint:gosec // a descriptor fits into an int
}

// sent returns a queue in memory with messages of these bodies.
func sent(t *testing.T, mux *drivers.Mux, url string, bodies ...string) {
	t.Helper()
	sink, err := mux.OpenSink(t.Context(), url, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	for _, body := range bodies {
		require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte(body)}}))
	}
}

// watched runs a command with stderr at a terminal of 60 columns, until that has shown
// what is wanted, and returns all that it has shown by the end.
func watched(t *testing.T, mux *drivers.Mux, stdout io.Writer, want *regexp.Regexp, args ...string) string {
	t.Helper()
	person, terminal := openTerminal(t)
	setColumns(t, terminal, 60)
	if stdout == nil {
		stdout = terminal
	}
	signals, code := make(chan os.Signal, 1), make(chan int, 1)
	go func() {
		code <- Main(Program{Args: args, Stdin: strings.NewReader(""), Stdout: stdout, Stderr: terminal, Signals: signals, Mux: mux})
		_, _ = terminal.WriteString("<end>")
	}()
	stop := sync.OnceFunc(func() { signals <- os.Interrupt })
	defer time.AfterFunc(20*time.Second, stop).Stop()
	var shown strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(shown.String(), "<end>"); {
		n, err := person.Read(buffer)
		require.NoError(t, err)
		shown.Write(buffer[:n])
		if want.MatchString(shown.String()) {
			stop()
		}
	}
	require.Equal(t, ExitDone, <-code, shown.String())
	return shown.String()
}

// run on a terminal has a last line with its rate, what is in flight and retries. Logs
// stay whole, and the line is gone at the end.
func TestRunHasALiveLineOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	mux := drivers.NewMux(&mem.Opener{})
	sent(t, mux, "mem://jobs", "one", "two", "three")
	line := regexp.MustCompile(`\r\x1b\[K[\d.]+/s, in flight 0, retries 0, acked 3`)
	shown := watched(t, mux, nil, line, "run", "mem://jobs", "--exec", "cat")
	require.Regexp(t, line, shown)
	require.Contains(t, shown, "in flight")
	for log := range strings.SplitSeq(shown, "\r\n") {
		log = afterLast(log, clearLine)
		require.False(t, strings.Contains(log, "/s, in flight") && strings.Contains(log, "level="), "a log and the live line share a line: %q", log)
	}
	require.Equal(t, 3, strings.Count(shown, "line=one")+strings.Count(shown, "line=two")+strings.Count(shown, "line=three"), shown)
	end := shown[strings.LastIndex(shown, clearLine)+len(clearLine):]
	require.Equal(t, "received 3, acked 3, retried 0, rejected 0, duplicates 0\r\n<end>", end, "the line is gone, and the summary in its place")
}

// afterLast returns what follows the last separator in a text, or all of it.
func afterLast(text, sep string) string {
	_, after, found := strings.Cut(text, sep)
	if !found {
		return text
	}
	return afterLast(after, sep)
}

// Without a terminal for a person there is no live line.
func TestRunHasNoLiveLineElsewhere(t *testing.T) {
	ended := regexp.MustCompile(`<end>`)
	for name, c := range map[string]struct {
		term string
		out  io.Writer
		args []string
	}{
		"dumb":              {"dumb", nil, nil},
		"JSON logs":         {"xterm", nil, []string{"--log-format", "json"}},
		"JSON to a program": {"xterm", new(bytes.Buffer), []string{"-o", "json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", c.term)
			mux := drivers.NewMux(&mem.Opener{})
			sent(t, mux, "mem://jobs", "one")
			shown := watched(t, mux, c.out, ended, append([]string{"run", "mem://jobs", "--exec", "cat", "--until-empty"}, c.args...)...)
			require.NotContains(t, shown, "\x1b")
			require.NotContains(t, shown, "in flight")
		})
	}
	t.Setenv("TERM", "xterm")
	var stderr bytes.Buffer
	mux := drivers.NewMux(&mem.Opener{})
	sent(t, mux, "mem://jobs", "one")
	require.Equal(t, ExitDone, Main(Program{Args: []string{"run", "mem://jobs", "--exec", "cat", "--until-empty"}, Stdin: strings.NewReader(""),
		Stdout: io.Discard, Stderr: &stderr, Signals: make(chan os.Signal), Mux: mux}))
	require.NotContains(t, stderr.String(), "in flight", "piped")
}

func TestPulse(t *testing.T) {
	t.Parallel()
	var (
		n  handler.Counts
		h  = consumer.Health{Status: consumer.HealthOK, Running: 4, Queues: []consumer.QueueHealth{{}, {}}}
		p  = &pulse{counts: func() handler.Counts { return n }, health: func() consumer.Health { return h }}
		t0 = time.Now()
	)
	at := func(seconds int) string { return p.text(t0.Add(time.Duration(seconds) * time.Second)) }
	require.Equal(t, "0/s, in flight 4, retries 0, acked 0", at(0))
	n.Acked, n.Retried = 3, 1
	require.Equal(t, "2.0/s, in flight 4, retries 1, acked 3", at(2), "retries are handled messages")
	n.Acked, n.DeadLettered, h.Waiting, h.Parked = 2000, 2, 3, 1
	h.Queues[0].Paused = true
	require.Equal(t, "668/s, in flight 4, retries 1, dead letters 2, 1 queue paused, waiting 4, acked 2000", at(3))
	h.Queues[1].Paused = true
	for s := 4; s < 9; s++ {
		at(s)
	}
	require.Equal(t, "0/s, in flight 4, retries 1, dead letters 2, paused, waiting 4, acked 2000", at(9), "the rate is that of the last seconds")
	h.Status = consumer.HealthDraining
	require.Contains(t, at(10), ", draining, ")
}

// A part of a line that was written stays, however the live line is drawn meanwhile.
func TestLiveLineKeepsPartsOfLines(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	l := &live{stderr: &b, on: true, whole: true}
	write := func(s string) {
		n, err := io.WriteString(l, s)
		require.NoError(t, err)
		require.Equal(t, len(s), n)
	}
	l.draw("1/s")
	write("a log\n")
	write("half ")
	l.draw("2/s")
	write("a line\n")
	l.clear()
	write("after\n")
	require.Equal(t, clearLine+"1/s"+clearLine+"a log\n1/s"+clearLine+"half a line\n2/s"+clearLine+"after\n", b.String())
}
