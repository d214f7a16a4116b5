package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// colours is true where output to w may be coloured: it is a terminal, and
// nobody said no (https://no-color.org).
func colours(w io.Writer) bool {
	return terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits into an int
}

// progressPause is how often a progress line is written if there is no
// terminal.
const progressPause = 5 * time.Second

// A progress shows on stderr how far something is: as a bar on a terminal, as a
// line now and then elsewhere.
type progress struct {
	w    io.Writer
	what string
	bar  *progressbar.ProgressBar
	last time.Time
}

// progress begins to show how far something is; total is negative if it is
// not known.
func (a *app) progress(what string, total int64) *progress {
	p := &progress{w: a.err, what: what, last: time.Now()}
	if terminal(a.err) {
		p.bar = progressbar.NewOptions64(max(total, -1), progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionEnableColorCodes(colours(a.err)), progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *progress) set(done, total int64) {
	if p.bar != nil {
		if total > 0 {
			p.bar.ChangeMax64(total)
		}
		_ = p.bar.Set64(done) // a bar that cannot be drawn is not a fault of the work
		return
	}
	if time.Since(p.last) < progressPause {
		return
	}
	p.last = time.Now()
	if total > 0 {
		_, _ = fmt.Fprintf(p.w, "%s: %d of %d\n", p.what, done, total)
		return
	}
	_, _ = fmt.Fprintf(p.w, "%s: %d\n", p.what, done)
}

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
