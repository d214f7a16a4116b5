package cli

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// openTerminal returns a terminal, and the end that a person sits at.
func openTerminal(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd()) //nolint:gosec // a descriptor fits into an int
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return person, terminal
}

// depth --watch redraws a terminal, so that the counts stay in their place.
func TestDepthRedrawsATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	person, terminal := openTerminal(t)
	mux := drivers.NewMux(&mem.Opener{})
	source, err := mux.OpenSource(t.Context(), "mem://jobs", nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()

	signals := make(chan os.Signal, 1)
	code := make(chan int, 1)
	go func() {
		code <- Main(Program{Args: []string{"depth", "mem://jobs", "--watch", "10ms"}, Stdin: strings.NewReader(""),
			Stdout: terminal, Stderr: terminal, Signals: signals, Mux: mux})
	}()
	lines := bufio.NewScanner(person)
	for range 3 {
		require.True(t, lines.Scan())
		require.Contains(t, lines.Text(), clearScreen+"TIME ", "each round takes the place of the one before")
		require.True(t, lines.Scan())
		require.Regexp(t, `^\d\d:\d\d:\d\d  jobs +0 +0 +0 `, lines.Text())
	}
	signals <- os.Interrupt
	require.Equal(t, ExitDone, <-code)
}

// init asks on a terminal for what no flag says, with the defaults.
func TestInitAsksOnATerminal(t *testing.T) {
	t.Parallel()
	person, terminal := openTerminal(t)
	dir := filepath.Join(t.TempDir(), "mailer")
	code := make(chan int, 1)
	go func() {
		code <- Main(Program{Args: []string{"init", dir, "--provider", "pubsub"}, Stdin: terminal, Stdout: terminal, Stderr: terminal, Mux: drivers.NewMux()})
	}()
	output := bufio.NewReader(person)
	for _, answer := range []struct{ question, line string }{
		{"Path of the module [example.com/mailer]: ", ""},
		{"Name of the queue [orders]: ", "mails"},
		{"Kinds of jobs on the queue, separated by spaces (none: one handler) []: ", "send-mail send-sms"},
		{"Store of the marks of handled messages (sqlite, postgres, redis, dynamodb, none) [sqlite]: ", "none"},
	} {
		var said string
		for !strings.HasSuffix(said, answer.question) {
			b, err := output.ReadByte()
			require.NoError(t, err, said)
			said += string(b)
		}
		_, err := person.WriteString(answer.line + "\n")
		require.NoError(t, err)
	}
	require.Equal(t, ExitDone, <-code)
	for name, want := range map[string]string{
		"go.mod": "module example.com/mailer", "handler.go": "job.Add(router, handleSendSms)", "production.yaml": "subscriptions/mails", "main.go": "&pubsub.Opener{}",
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(content), want)
	}
}

// lettered returns a queue in memory with dead letters of these bodies.
func lettered(t *testing.T, mux *drivers.Mux, url string, bodies ...string) {
	t.Helper()
	source, err := mux.OpenSource(t.Context(), url, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	sink, err := source.(deadletter.Writer).OpenDeadLetterSink(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, sink.Close()) }()
	for _, body := range bodies {
		m := &handler.Message{Body: []byte(body), Attempt: 3}
		m.Attributes = drivers.FailureAttributes(&drivers.Failure{Reason: "no such order: " + body, Last: time.Now()}, m, "jobs", 0)
		require.Nil(t, sink.Send(t.Context(), []*handler.Message{m}))
	}
}

// onTerminal runs a command on a terminal at which somebody types, and returns its exit
// status and what the terminal shows.
func onTerminal(t *testing.T, mux *drivers.Mux, typed string, args ...string) (int, string) {
	t.Helper()
	person, terminal := openTerminal(t)
	_, err := person.WriteString(typed)
	require.NoError(t, err)
	shown := make(chan string, 1)
	go func() { shown <- readUntil(person, "<end>") }()
	code := Main(Program{Args: args, Stdin: terminal, Stdout: terminal, Stderr: terminal, Signals: make(chan os.Signal), Mux: mux})
	_, err = terminal.WriteString("<end>")
	require.NoError(t, err)
	return code, <-shown
}

// discard asks for the queue's name, after it has shown what it would delete and where, and
// deletes nothing without it.
func TestDiscardAsks(t *testing.T) {
	mux := drivers.NewMux(&mem.Opener{})
	lettered(t, mux, "mem://jobs", "1", "2")
	code, shown := onTerminal(t, mux, "yes\n", "discard", "mem://jobs")
	require.Equal(t, ExitUsage, code)
	require.Regexp(t, `GROUP +COUNT`, shown)
	require.Contains(t, shown, "jobs (url mem://jobs, dead letter queue jobs-dlq): this would delete 2 dead letters for good.")
	require.Contains(t, shown, "Type the queue's name, jobs, to do it: ")
	require.Contains(t, shown, "not confirmed: nothing was done")
	code, shown = onTerminal(t, mux, "jobs\n", "discard", "mem://jobs", "--max", "1")
	require.Equal(t, ExitDone, code, shown)
	require.Contains(t, shown, "discarded 1 dead letter of jobs")
	code, shown = onTerminal(t, mux, "jobs\n", "discard", "mem://jobs", "--reason", "*: 9")
	require.Equal(t, ExitDone, code, shown)
	require.Contains(t, shown, "no dead letter of jobs matches")
	_, shown = onTerminal(t, mux, "", "letters", "mem://jobs")
	require.Contains(t, shown, "1 dead letter of jobs in 1 group")
}

// peek is a table on a terminal, and shows the attempts that the message had.
func TestPeekIsATableOnATerminal(t *testing.T) {
	mux := drivers.NewMux(&mem.Opener{})
	lettered(t, mux, "mem://jobs", "1", "2")
	code, shown := onTerminal(t, mux, "", "peek", "mem://jobs", "--dead")
	require.Equal(t, ExitDone, code)
	require.Regexp(t, `ID +ATTEMPT +TIME +KIND +REASON +BODY\r\n`, shown)
	require.Regexp(t, ` 3 +\d\d:\d\d:\d\d +- +no such order: 2 +2\r\n`, shown)
	_, shown = onTerminal(t, mux, "", "peek", "mem://jobs", "--dead", "-v", "-n", "1")
	require.Contains(t, shown, "attempt   3\r\nreason    no such order: 1\r\n")
}
