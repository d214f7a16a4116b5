package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/examples/thumbnails/thumbnail"
	"github.com/sluice-go/sluice/handler"
)

// A tally counts what becomes of the events. It is a handler.Observer.
type tally struct {
	events      int // that were sent; 0 is not known
	begun       time.Time
	deadLetters string

	mu                        sync.Mutex
	handled, retried, dropped int
	reasons                   map[string]string // of rejections, by message ID
	dead                      []string          // reasons of those that were dead-lettered
	made                      map[string]thumbnail.Thumbnail
}

func newTally(events int) *tally {
	return &tally{events: events, begun: time.Now(), reasons: make(map[string]string), made: make(map[string]thumbnail.Thumbnail)}
}

// wrote counts a thumbnail.
func (t *tally) wrote(th thumbnail.Thumbnail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.made[th.Key]; !known {
		t.made[th.Key] = th
	}
}

// Observe implements handler.Observer.
func (t *tally) Observe(e handler.Event) {
	if e.Message == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case e.Kind == handler.EventHandled && e.Action == handler.ActionDeadLetter:
		t.reasons[e.Message.ID] = strings.TrimPrefix(e.Err.Error(), "rejected: ")
	case e.Kind != handler.EventSettled || e.Err != nil:
	case e.Action == handler.ActionAck:
		t.handled++
	case e.Action == handler.ActionDrop:
		t.dropped++
	case e.Action == handler.ActionRetry:
		t.retried++
	case e.Action == handler.ActionDeadLetter:
		t.dead = append(t.dead, t.reasons[e.Message.ID])
		delete(t.reasons, e.Message.ID)
	}
}

// line is the progress of this moment.
func (t *tally) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := t.handled + t.dropped + len(t.dead)
	of := ""
	if t.events > 0 {
		of = fmt.Sprintf("/%d", t.events)
	}
	return fmt.Sprintf("%d%s events, %d thumbnails, %d retried, %d dead-lettered", done, of, len(t.made), t.retried, len(t.dead))
}

// show writes the progress to w until the function that it returns is called:
// one line that changes on a terminal, one a second elsewhere.
func (t *tally) show(w io.Writer) (stop func()) {
	every, before, after := time.Second, "", "\n"
	if onTerminal(w) {
		every, before, after = 100*time.Millisecond, "\r\x1b[K", ""
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, before+t.line()+after) // the summary says it again
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// summary writes what became of the events, and the place of the thumbnails.
func (t *tally) summary(w io.Writer, o *options) error {
	last := t.line()
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	if onTerminal(w) {
		b.WriteString("\r\x1b[K")
	}
	fmt.Fprintf(&b, "%s\n\n", last)
	fmt.Fprintf(&b, "handled        %d\nretried        %d\ndead-lettered  %d", t.handled, t.retried, len(t.dead))
	if len(t.dead) > 0 {
		fmt.Fprintf(&b, ", to %s", t.deadLetters)
	}
	b.WriteString("\n")
	sort.Strings(t.dead)
	for _, reason := range t.dead {
		fmt.Fprintf(&b, "               - %s\n", reason)
	}
	if t.dropped > 0 {
		fmt.Fprintf(&b, "dropped        %d\n", t.dropped)
	}
	written := 0
	keys := make([]string, 0, len(t.made))
	for key, th := range t.made {
		keys = append(keys, key)
		if !th.Existed {
			written++
		}
	}
	sort.Strings(keys)
	fmt.Fprintf(&b, "thumbnails     %d written, %d were there, in %s\n", written, len(t.made)-written, o.out)
	const shown = 20
	for i, key := range keys {
		if i == shown {
			fmt.Fprintf(&b, "               - and %d more\n", len(keys)-shown)
			break
		}
		fmt.Fprintf(&b, "               - %s\n", key)
	}
	fmt.Fprintf(&b, "queue          %s\ntime           %v\n", o.queue, time.Since(t.begun).Round(time.Millisecond))
	if len(t.dead) > 0 {
		fmt.Fprintf(&b, "\nnext           go run ./cmd/sluice peek --dead '%[1]s'\n"+
			"                 shows the dead letters\n"+
			"               go run ./cmd/sluice redrive '%[1]s'\n"+
			"                 brings them back to the queue\n"+
			"               go run ./examples/thumbnails -queue '%[1]s'\n"+
			"                 handles them again, with new events\n", o.queue)
	}
	b.WriteString("               examples/thumbnails/thumbnail/handler.go is the handler; docs/service.md has a whole worker\n")
	_, err := io.WriteString(w, b.String())
	return err
}
