package exechandler

import (
	"log/slog"
	"sync"

	"github.com/sluice-go/sluice/handler"
)

// A workerLog logs a worker's standard error, with the message that it handles
// at the time.
type workerLog struct {
	log *slog.Logger

	mu    sync.Mutex
	lines logWriter
}

func newWorkerLog(log *slog.Logger) *workerLog {
	return &workerLog{log: log, lines: logWriter{log: log, tail: &tail{}}}
}

// Write implements io.Writer.
func (l *workerLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// begin says which message the worker has from now on. Its earlier
// output is not the reason of a later failure.
func (l *workerLog) begin(m *handler.Message, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines.log = l.log.With("message", m.ID, "attempt", m.Attempt)
	if !first {
		*l.lines.tail = tail{}
	}
}

// end says that the worker has no message.
func (l *workerLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines.log = l.log
}

func (l *workerLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines.flush()
}

func (l *workerLog) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.tail.String()
}
