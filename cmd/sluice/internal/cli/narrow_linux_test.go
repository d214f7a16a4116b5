package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox/opentable"
)

// sequences are what colors a terminal or moves its cursor.
var sequences = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// Sixty columns are enough: no line of a table wraps, and each has what matters most.
// Elsewhere, and on a wide terminal, tables have all columns.
func TestSixtyColumnsAreEnough(t *testing.T) {
	t.Setenv("TERM", "xterm")
	dir := t.TempDir()
	t.Chdir(dir)
	const name = "payments-of-a-department-with-a-long-name"
	database := "sqlite://" + filepath.ToSlash(filepath.Join(dir, "jobs.db"))
	require.NoError(t, os.WriteFile("sluice.yaml", []byte(`
delay_store: sqlite://box.db
schedules:
  a-nightly-report-with-a-long-name: {cron: "30 2 * * *", zone: Europe/Zurich, queue: `+name+`, body: "{}"}
queues:
  `+name+`: {url: "mem://`+name+`", dead_letter: {max_attempts: 5}}
  missing: {url: "`+database+`?queue=a-queue-that-nobody-has-made-yet", dead_letter: {max_attempts: 4}, retry: {min: 1s, max: 10m}}
  unmade: {url: "`+database+`?queue=a-queue-that-nobody-has-made-yet-at-all", dead_letter: {max_attempts: 4}}
`), 0o600))
	mux := drivers.NewMux(&mem.Opener{}, &sqlite.Opener{})
	long := "connection to 注文データベース at 10.0.0.17 was refused, and the one after it, too: " + strings.Repeat("x", 40)
	lettered(t, mux, "mem://"+name, long, "2")
	sent(t, mux, "mem://"+name, long)
	run := func(width uint16, args ...string) string {
		t.Helper()
		return sequences.ReplaceAllString(shownAt(t, mux, width, args...), "")
	}
	run(200, "outbox", "--migrate")
	box, db, err := opentable.URL(t.Context(), "sqlite://box.db")
	require.NoError(t, err)
	require.NoError(t, box.Send(t.Context(), nil, name, &handler.Message{Body: []byte(long)}))
	require.NoError(t, db.Close())
	for command, c := range map[string]struct{ wide, narrow []string }{
		"depth " + name:            {[]string{"IN FLIGHT", "DEAD LETTERS", name}, []string{"QUEUE", "DEAD ", "payments"}},
		"letters " + name:          {[]string{"FIRST", "LATEST REASON"}, []string{"GROUP", "COUNT", "REASON", "no such order", "-o json also has"}},
		"peek " + name:             {[]string{"KIND", "BODY"}, []string{"ID", "BODY", "connection"}},
		"peek --dead " + name:      {[]string{"KIND", "TIME", "BODY"}, []string{"ID", "REASON", "no such"}},
		"plan unmade":              {[]string{"+ unmade"}, []string{"+ unmade"}},
		"doctor " + name:           {[]string{"fact:", "why:"}, []string{"fact:", "why:", "mend:"}},
		"doctor --p99 10m " + name: {[]string{"fact:", "why:"}, []string{"critical", "fact:", "why:", "mend:"}},
		"schedules":                {[]string{"ZONE", "NEXT", "NOTE"}, []string{"SCHEDULE", "NEXT", "NOTE", "no relay"}},
		"outbox":                   {[]string{"QUEUE", "RETRYING", "OLDEST"}, []string{"QUEUE", "DUE", "FAILING"}},
		"outbox --rows":            {[]string{"ATTEMPTS", "DUE", "NEXT"}, []string{"QUEUE", "ID"}},
	} {
		args := strings.Fields(command)
		wide, narrow := run(250, args...), run(60, args...)
		for _, want := range c.wide {
			require.Contains(t, wide, want, command)
		}
		for _, want := range c.narrow {
			require.Contains(t, narrow, want, command)
		}
		for line := range strings.SplitSeq(narrow, "\r\n") {
			line = afterLast(line, "\r") // what is below it was cleared
			if strings.Contains(line, "mend:") || strings.Contains(line, "level=") || !strings.Contains(strings.TrimSpace(line), " ") {
				continue // a command to paste, a log, or a word that is longer than a line
			}
			require.LessOrEqual(t, textWidth(line), 60, "%s: %s", command, line)
		}
		for _, width := range []uint16{20, 1} { // too narrow for any table: nothing is worse than a wrap
			require.True(t, utf8.ValidString(run(width, args...)), "%s: %d columns", command, width)
		}
	}
}

// shownAt runs a command on a terminal of so many columns, and returns what that shows.
func shownAt(t *testing.T, mux *drivers.Mux, width uint16, args ...string) string {
	t.Helper()
	person, terminal := openTerminal(t)
	setColumns(t, terminal, width)
	shown := make(chan string, 1)
	go func() { shown <- readUntil(person, "<end>") }()
	Main(Program{Args: args, Stdin: strings.NewReader(""), Stdout: terminal, Stderr: terminal, Signals: make(chan os.Signal), Mux: mux})
	_, err := terminal.WriteString("<end>")
	require.NoError(t, err)
	return <-shown
}

// readUntil reads until a text, or the end.
func readUntil(f *os.File, end string) string {
	var b strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(b.String(), end) {
		n, err := f.Read(buffer)
		if err != nil {
			break
		}
		b.Write(buffer[:n])
	}
	return strings.TrimSuffix(b.String(), end)
}
