package consumer

import (
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// The wait between receives that fail.
const (
	outageBase = 200 * time.Millisecond
	outageCap  = 30 * time.Second
)

// outage is the state of a lane whose receives fail.
type outage struct {
	mu     sync.Mutex
	proven bool // a receive has succeeded once
	tries  int  // failures in a row
	since  time.Time
	err    error
}

// failed takes a receive's error. It reports whether the consumer must end: at
// start-up no error that a further attempt cannot mend is waited out.
func (l *lane) failed(err error) (fatal bool) {
	c, o := l.c, &l.outage
	c.observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: l.origin, Err: err})
	code := drivers.CodeOf(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if code == drivers.Closed || !code.Retryable() && !o.proven {
		c.fail(err)
		return true
	}
	o.tries++
	o.err = err
	if o.tries == 1 {
		o.since = time.Now()
		c.log.Error("receiving fails: it is tried again until it succeeds", "queue", l.caps.Queue, "error", err)
	}
	return false
}

// recovered notes that a receive succeeded.
func (l *lane) recovered() {
	o := &l.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	o.proven = true
	if o.tries == 0 {
		return
	}
	l.c.log.Info("receiving works again", "queue", l.caps.Queue, "after", time.Since(o.since), "failures", o.tries, "error", o.err)
	o.tries, o.err, o.since = 0, nil, time.Time{}
}

// delay is the wait before the next receive.
func (o *outage) delay() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return backoffDelay(o.tries, outageBase, outageCap)
}

func (o *outage) is() bool {
	_, err := o.state()
	return err != nil
}

// state is the error with which receives fail, and since when; nil is none.
func (o *outage) state() (since time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, o.err
}
