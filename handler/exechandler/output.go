package exechandler

import (
	"bytes"
	"log/slog"
	"strings"
)

const (
	// longestLogged bounds a line of a command's output in the log.
	longestLogged = 8 << 10
	// tailBytes is how much of a command's last words goes into the reason of
	// its failure.
	tailBytes = 800
)

// A logWriter writes each line of a command's output to the log. It is used by
// one goroutine at a time.
type logWriter struct {
	log  *slog.Logger
	tail *tail // nil keeps none
	line []byte
}

// Write implements io.Writer.
func (w *logWriter) Write(p []byte) (int, error) {
	if w.tail != nil {
		w.tail.write(p)
	}
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		if room := longestLogged - len(w.line); len(part) >= room {
			// It is logged in pieces instead of being held until it ends.
			w.line = append(w.line, part[:room]...)
			w.flush()
			p = p[room:]
			if i == room {
				p = p[1:]
			}
			continue
		}
		w.line = append(w.line, part...)
		p = p[len(part):]
		if i >= 0 {
			p = p[1:]
			w.flush()
		}
	}
	return n, nil
}

// flush logs what has no line feed yet.
func (w *logWriter) flush() {
	if text := strings.TrimRight(string(w.line), "\r"); text != "" {
		w.log.Info("output", "line", strings.ToValidUTF8(text, "\uFFFD"))
	}
	w.line = w.line[:0]
}

// A tail keeps the end of the data written to it.
type tail struct {
	kept []byte
	cut  bool
}

func (t *tail) write(p []byte) {
	if len(p) > tailBytes {
		p, t.cut = p[len(p)-tailBytes:], true
	}
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
}

// String returns the kept output as one line.
func (t *tail) String() string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(t.kept), "")), " ")
	if t.cut && text != "" {
		text = "..." + text
	}
	return text
}
