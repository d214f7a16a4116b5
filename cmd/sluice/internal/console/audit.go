package console

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// maxEntries bounds the memory of the audit log. The console's log has all of it.
const maxEntries = 1000

// An entry is a line of the audit log.
type entry struct {
	At               time.Time
	Who, Queue, What string
	// Result is the outcome, or the extent of what begins.
	Result string
	Failed bool
}

// An audit log has who did what here. Its methods may be called concurrently.
type audit struct {
	log *slog.Logger

	mu      sync.Mutex
	entries []entry // the oldest first
}

// add records what was done, in memory and in the console's log.
func (a *audit) add(who, queue, what, result string, err error) {
	e := entry{At: time.Now(), Who: who, Queue: queue, What: what, Result: result, Failed: err != nil}
	attrs := []any{"who", who, "queue", queue, "what", what, "result", result}
	if err != nil {
		e.Result = problem(err)
		a.log.Warn("audit", append(attrs, "error", err)...)
	} else {
		a.log.Info("audit", attrs...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == maxEntries {
		a.entries = a.entries[1:]
	}
	a.entries = append(a.entries, e)
}

// latest returns the entries, the newest first.
func (a *audit) latest() []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(a.entries)
	slices.Reverse(out)
	return out
}
