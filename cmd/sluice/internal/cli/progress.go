package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
)

// progressPause is how often a progress line is written if there is no
// terminal.
const progressPause = 5 * time.Second

// barRoom is the room that a bar's numbers take beside what it is of.
const barRoom = 32

// A progress shows on stderr how far something is: as a bar on a terminal, as a
// line now and then elsewhere, which is a log record if logs are JSON.
type progress struct {
	app  *app
	what string
	bar  *progressbar.ProgressBar
	last time.Time
}

// newProgress begins to show how far something is.
func newProgress(a *app, what string) *progress {
	p, w := &progress{app: a, what: what, last: time.Now()}, a.err
	if a.logFormat != formatJSON && terminal(w) && os.Getenv("TERM") != "dumb" {
		if n := columns(w); n > 0 { // a bar that wraps could not be redrawn
			what = squeezed(what, max(n-barRoom, leastText))
		}
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionEnableColorCodes(colours(w)), progressbar.OptionClearOnFinish())
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
	switch {
	case p.app.logFormat == formatJSON && total > 0:
		p.app.log.Info(p.what, "done", done, "total", total)
	case p.app.logFormat == formatJSON:
		p.app.log.Info(p.what, "done", done)
	case total > 0:
		_, _ = fmt.Fprintf(p.app.err, "%s: %d of %d\n", p.what, done, total)
	default:
		_, _ = fmt.Fprintf(p.app.err, "%s: %d\n", p.what, done)
	}
}

// letters shows how many letters something is done with; the whole number is not known.
func (p *progress) letters(r letters.Result) { p.set(r.Done, drivers.Unknown) }

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
