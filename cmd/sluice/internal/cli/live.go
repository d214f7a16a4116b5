package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// livePause is how often a live line is drawn again.
const livePause = time.Second

// clearLine moves a terminal's cursor to the beginning of its line and clears that.
const clearLine = "\r\x1b[K"

// A live is the last line of a terminal, with the present state of a run. Output that is
// written to it, whole lines of logs, takes the line's place, and the line follows. Its
// methods may be called concurrently, except for start and end; a nil live shows nothing.
type live struct {
	app    *app
	stderr io.Writer
	text   func(now time.Time) string

	mu    sync.Mutex
	line  string // as it was drawn last
	on    bool   // the line is drawn again after other output
	whole bool   // the last output ended its line

	done, ended chan struct{} // nil before start
}

// newLive puts a live line between the program's logs and stderr, if that is a terminal
// that can clear a line and the results are for a person. Otherwise it returns nil.
func newLive(a *app) *live {
	if !terminal(a.err) || os.Getenv("TERM") == "dumb" || a.logFormat == formatJSON || a.asJSON() && !terminal(a.out) {
		return nil
	}
	l := &live{app: a, stderr: a.err, whole: true}
	a.err = l
	a.log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: a.level}))
	return l
}

// start shows text until end.
func (l *live) start(text func(now time.Time) string) {
	if l == nil {
		return
	}
	l.text, l.done, l.ended = text, make(chan struct{}), make(chan struct{})
	l.mu.Lock()
	l.on = true
	l.mu.Unlock()
	go l.run()
}

// end removes the line for good. A second call does nothing.
func (l *live) end() {
	if l == nil || l.app == nil {
		return
	}
	if l.done != nil {
		close(l.done)
		<-l.ended
	}
	l.app.err, l.app = l.stderr, nil // logs still come by l, which only writes now
}

func (l *live) run() {
	defer close(l.ended)
	tick := time.NewTicker(livePause)
	defer tick.Stop()
	for now := time.Now(); ; {
		l.draw(l.text(now))
		select {
		case <-l.done:
			l.clear()
			return
		case now = <-tick.C:
		}
	}
}

// draw replaces the line.
func (l *live) draw(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line = line; l.whole {
		_, _ = io.WriteString(l.stderr, clearLine+l.cut()) // a line that can't be drawn is not a fault of the run
	}
}

// clear removes the line for good.
func (l *live) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
	if l.whole {
		_, _ = io.WriteString(l.stderr, clearLine)
	}
}

// Write implements [io.Writer].
func (l *live) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on || len(p) == 0 {
		return l.stderr.Write(p)
	}
	out := p
	if l.whole {
		out = append([]byte(clearLine), p...)
	}
	if l.whole = bytes.HasSuffix(p, []byte("\n")); l.whole {
		out = append(bytes.Clone(out), l.cut()...)
	}
	if _, err := l.stderr.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cut returns the line as far as the terminal has room for it: one that wraps could not be
// cleared.
func (l *live) cut() string {
	if n := columns(l.stderr); n > 1 {
		return shortened(l.line, n-1)
	}
	return l.line
}
