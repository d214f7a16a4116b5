package cli

import (
	"fmt"
	"io"
	"os"
)

// A tally shows on a terminal how many queues a command has finished, in a line that
// it rewrites. It shows nothing elsewhere.
type tally struct {
	w     io.Writer
	what  string
	total int
}

// newTally returns the tally of a command on so many queues.
func newTally(a *app, what string, total int) *tally {
	t := &tally{w: io.Discard, what: what, total: total}
	if total > 1 && a.logFormat != formatJSON && terminal(a.err) && os.Getenv("TERM") != "dumb" {
		t.w = a.err
	}
	t.show(0)
	return t
}

// show shows the number of finished queues. A line that can't be written is not a
// fault of the command.
func (t *tally) show(done int) {
	_, _ = fmt.Fprintf(t.w, "\r\x1b[K%s: %d of %d queues", t.what, done, t.total)
}

// clear removes the line, so that other output can take its place.
func (t *tally) clear() { _, _ = fmt.Fprint(t.w, "\r\x1b[K") }
