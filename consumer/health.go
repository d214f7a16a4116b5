package consumer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The states of a [Health].
const (
	HealthOK       = "ok"
	HealthStarting = "starting" // Run was not called yet
	HealthDraining = "draining" // Run's context is done
	HealthStopped  = "stopped"  // Run has returned
	HealthOutage   = "outage"   // receiving or settling fails
	HealthStalled  = "stalled"  // handlers are stuck, or receiving is
)

// Health is the state of a consumer at one moment, as [Consumer.Health] returns
// it. It is also an HTTP handler, which answers with the state at the time of
// the request.
type Health struct {
	// Status is one of the constants above.
	Status string        `json:"status"`
	Queues []QueueHealth `json:"queues"`
	// IdleSeconds is how long ago a handler was started or has returned, or a
	// receive found the queue empty.
	IdleSeconds float64 `json:"idle_seconds"`
	Running     int     `json:"running"`
	Waiting     int     `json:"waiting"`
	Parked      int     `json:"parked"`
	Settling    int     `json:"settling"`
	// Slowest are the handlers that have run longest, at most ten.
	Slowest []RunningHandler `json:"slowest,omitempty"`
	// Stacks are the stacks of all running handlers, if the request asks for
	// them.
	Stacks string `json:"stacks,omitempty"`

	c *Consumer // of the HTTP handler; nil in a Health that was made by hand
}

// QueueHealth is the health of one queue.
type QueueHealth struct {
	Queue string `json:"queue"`
	// Status is HealthOK or HealthOutage.
	Status string `json:"status"`
	// Error is why receiving or settling fails, and Since when it began to. It is
	// also what is wrong with the queue's configuration ([drivers.Watcher]), without
	// Since.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Paused is true while a gate holds receiving back; PausedBy is the gate's
	// reason, if it has one.
	Paused   bool   `json:"paused,omitempty"`
	PausedBy string `json:"paused_by,omitempty"`
	Pollers  int    `json:"pollers"`
}

// RunningHandler is a handler at work.
type RunningHandler struct {
	Queue   string  `json:"queue"`
	Message string  `json:"message"`
	Attempt int     `json:"attempt"`
	Seconds float64 `json:"seconds"`
}

// Live reports whether the process should go on: it is false of a consumer that
// is stalled or has stopped, which a restart mends. An outage of the provider, a
// closed gate, an idle queue and a drain are no reason for a restart.
func (h Health) Live() bool { return h.Status != HealthStalled && h.Status != HealthStopped }

// Ready reports whether the consumer can take messages: it is false before Run,
// during an outage or a drain, and of a consumer that is stalled or has stopped.
// A consumer whose gate is closed is ready: it waits on purpose.
func (h Health) Ready() bool { return h.Status == HealthOK }

// ServeHTTP answers with the health as JSON: with status 200 while the consumer
// works, is starting or draining, and 503 when it is stalled or has stopped, and
// during an outage. With the query stacks=1 the answer has the stacks of the
// handlers that run. It is for people and dashboards; probes use
// [Consumer.Liveness] and [Consumer.Readiness].
func (h Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(h Health) bool { return h.Live() && h.Status != HealthOutage })
}

// Liveness returns the HTTP handler of a liveness probe: 503 only if a restart
// mends what is wrong ([Health.Live]). An outage of the provider is none of that:
// a probe that restarted all replicas then would make the recovery slow.
func (c *Consumer) Liveness() http.Handler { return probeHandler{c, Health.Live} }

// Readiness returns the HTTP handler of a readiness probe: 200 only while the
// consumer can take messages ([Health.Ready]), so that a rollout does not go on
// with a version that cannot receive.
func (c *Consumer) Readiness() http.Handler { return probeHandler{c, Health.Ready} }

type probeHandler struct {
	c    *Consumer
	good func(Health) bool
}

func (p probeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.c.Health().serve(w, r, p.good)
}

func (h Health) serve(w http.ResponseWriter, r *http.Request, good func(Health) bool) {
	if h.c != nil {
		h = h.c.Health()
	}
	if r.URL.Query().Get("stacks") == "1" {
		h.Stacks = handlerStacks()
	}
	code := http.StatusOK
	if !good(h) {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A client that has gone away needs no answer.
	_ = json.NewEncoder(w).Encode(h)
}

// Health returns the state of the consumer. It does not wait for the provider:
// whether messages wait there is asked in the background, at most once in ten
// seconds and only if nothing is received.
func (c *Consumer) Health() Health {
	now := time.Now()
	h := Health{Status: HealthOK, c: c}
	for _, l := range c.lanes {
		q := QueueHealth{Queue: l.caps.Queue, Status: HealthOK}
		if g := l.closedBy.Load(); g != nil {
			q.Paused, q.PausedBy = true, c.gateReason(l, *g)
		}
		if since, err := l.outage.state(now); err != nil {
			q.Status, q.Error, q.Since = HealthOutage, invoke.Text(err), &since
			h.Status = HealthOutage
		} else if err := l.fault(); err != nil {
			q.Status, q.Error = HealthOutage, invoke.Text(err)
			h.Status = HealthOutage
		}
		h.Queues = append(h.Queues, q)
	}
	c.mu.Lock()
	for i, l := range c.lanes {
		h.Queues[i].Pollers = l.pollers
	}
	h.Running, h.Waiting, h.Parked, h.Settling = c.running, c.waiting+c.ready.len(), c.parked, c.unsettled()
	busy := c.running >= c.cfg.Concurrency || c.runnable()
	stopping, ended := c.stopping, c.ended
	var fs []*flight
	for f := c.live; f != nil; f = f.next {
		fs = append(fs, f)
	}
	c.mu.Unlock()
	for _, f := range fs {
		f.mu.Lock()
		if f.state == running {
			h.Slowest = append(h.Slowest, RunningHandler{
				Queue: f.lane.caps.Queue, Message: f.msg.ID, Attempt: f.msg.Attempt,
				Seconds: now.Sub(f.started).Seconds(),
			})
		}
		f.mu.Unlock()
	}
	sort.Slice(h.Slowest, func(i, j int) bool { return h.Slowest[i].Seconds > h.Slowest[j].Seconds })
	h.Slowest = h.Slowest[:min(len(h.Slowest), 10)]
	last := c.progress.Load()
	if last == 0 {
		h.Status = HealthStarting
		return h
	}
	idle := now.Sub(c.born.Add(time.Duration(last)))
	h.IdleSeconds = idle.Seconds()
	switch {
	case ended:
		h.Status = HealthStopped
	case stopping:
		h.Status = HealthDraining
	case idle <= c.stallAfter():
	case busy:
		// Handlers are stuck, whatever the provider and the gates say.
		h.Status = HealthStalled
	case h.Status == HealthOK && !c.gated.Load() && c.deaf(now):
		h.Status = HealthStalled
	}
	return h
}

// stallAfter is how long without progress is too long.
func (c *Consumer) stallAfter() time.Duration {
	if c.cfg.StallAfter > 0 {
		return c.cfg.StallAfter
	}
	var d time.Duration
	for _, l := range c.lanes {
		d = max(d, l.caps.Lease)
	}
	if d == 0 {
		return time.Minute
	}
	return d
}

// deaf reports whether a queue has messages though no receive of it has ended for
// longer than a receive takes that hangs: the poller is stuck. While too much is
// in hand, pollers wait on purpose. Time during which a gate was closed does not
// count.
func (c *Consumer) deaf(now time.Time) bool {
	c.mu.Lock()
	full := c.handRoom() < 1
	c.mu.Unlock()
	if full {
		return false
	}
	limit := max(c.stallAfter(), c.cfg.ReceiveWait+receiveGrace+afterOutage)
	for _, l := range c.lanes {
		last := c.born.Add(time.Duration(c.reopened.Load()))
		if r := l.outage.received(); r.After(last) {
			last = r
		}
		if now.Sub(last) > limit && l.backlog(now, last) {
			return true
		}
	}
	return false
}

// backlogPeriod is how long the answer to whether a queue has messages holds.
const backlogPeriod = 10 * time.Second

// backlog is whether messages wait at the provider, as it was known last.
type backlog struct {
	mu     sync.Mutex
	asked  time.Time
	known  time.Time // when the answer came
	exists bool
}

// backlog reports whether messages wait at the provider, as far as that is
// known since the given time, and asks anew if that is old.
func (l *lane) backlog(now, since time.Time) bool {
	b := &l.waiting
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked.IsZero() || now.Sub(b.asked) >= backlogPeriod {
		b.asked = now
		go func() {
			d, ok := l.visible()
			b.mu.Lock()
			defer b.mu.Unlock()
			b.exists, b.known = ok && d > 0, time.Now()
		}()
	}
	return b.exists && b.known.After(since)
}

// visible counts the messages that could be received, as far as the source can.
func (l *lane) visible() (int64, bool) {
	if l.inspector == nil {
		return 0, false
	}
	ctx, cancel := l.question()
	defer cancel()
	d, err := l.inspector.Depth(ctx)
	return d.Visible, err == nil && d.Visible != drivers.Unknown
}

// stacksLimit bounds the memory for the stacks of all goroutines.
const stacksLimit = 16 << 20

// handlerStacks returns the stacks of the goroutines that run a handler.
func handlerStacks() string {
	buf := make([]byte, 256<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= stacksLimit {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var out bytes.Buffer
	for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.Contains(g, []byte("consumer.(*Consumer).call(")) {
			fmt.Fprintf(&out, "%s\n\n", bytes.TrimSpace(g))
		}
	}
	return out.String()
}
