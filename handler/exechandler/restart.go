package exechandler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// gateAfter is how many failures in a row, without an answer between them, hold
// back receiving: one or two can be the fault of a message.
const gateAfter = 3

// A restart spaces the starts of workers out when they fail. It is a
// handler.Gate: each message given to a worker that cannot work costs the message
// an attempt, so while workers keep failing nothing more is received.
type restart struct {
	least, most time.Duration

	mu       sync.Mutex
	failures int       // in a row
	cause    error     // the last of them
	next     time.Time // not before this is a worker started
	reopened chan struct{}
}

var _ handler.GateReason = (*restart)(nil)

// Reason implements handler.GateReason.
func (r *restart) Reason() string {
	r.mu.Lock()
	cause, failures := r.cause, r.failures
	r.mu.Unlock()
	if failures < gateAfter {
		return ""
	}
	return fmt.Sprintf("workers have failed %d times in a row: %s", failures, invoke.Text(cause))
}

// left returns how long it is until a worker may be started.
func (r *restart) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(time.Until(r.next), r.least)
}

// failed counts a failure, and puts the next start off.
func (r *restart) failed(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delay := r.least
	for range min(r.failures, 62) {
		if delay >= r.most/2 {
			delay = r.most
			break
		}
		delay *= 2
	}
	r.failures++
	r.cause = cause
	r.next = time.Now().Add(min(delay, r.most))
}

// answered ends a row of failures.
func (r *restart) answered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = 0
	r.next = time.Time{}
	if r.reopened != nil {
		close(r.reopened)
		r.reopened = nil
	}
}

// wait waits until a worker may be started.
func (r *restart) wait(ctx context.Context, stop <-chan struct{}) error {
	for {
		r.mu.Lock()
		left := time.Until(r.next)
		if left <= 0 {
			if r.failures >= gateAfter {
				// One tries at a time: the others wait for what becomes of it.
				r.next = time.Now().Add(r.most)
			}
			r.mu.Unlock()
			return nil
		}
		if r.reopened == nil {
			r.reopened = make(chan struct{})
		}
		reopened := r.reopened
		r.mu.Unlock()
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-reopened:
		case <-stop:
			t.Stop()
			return errClosed
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		t.Stop()
	}
}

// Admit implements handler.Gate.
func (r *restart) Admit(want int) (int, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures < gateAfter {
		return want, nil
	}
	left := time.Until(r.next)
	if left <= 0 {
		return min(want, 1), nil // to try with
	}
	if r.reopened == nil {
		r.reopened = make(chan struct{})
	}
	// Both what opens it: a worker's answer, and the time.
	reopened := r.reopened
	time.AfterFunc(left, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.reopened == reopened {
			close(reopened)
			r.reopened = nil
		}
	})
	return 0, reopened
}
