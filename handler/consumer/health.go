package consumer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sort"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// The states of a [Health].
const (
	HealthOK       = "ok"
	HealthStarting = "starting" // Run was not called yet
	HealthDraining = "draining" // Run's context is done
	HealthStopped  = "stopped"  // Run has returned
	HealthOutage   = "outage"   // receiving fails
	HealthStalled  = "stalled"  // messages wait and none is finished
)

// Health is what [Consumer.Health] answers.
type Health struct {
	// Status is one of the constants above.
	Status string        `json:"status"`
	Queues []QueueHealth `json:"queues"`
	// IdleSeconds is how long ago something was finished, or found to be empty.
	IdleSeconds float64 `json:"idle_seconds"`
	Running     int     `json:"running"`
	Waiting     int     `json:"waiting"`
	Parked      int     `json:"parked"`
	Settling    int     `json:"settling"`
	// Slowest are the handlers that have run longest, at most ten.
	Slowest []RunningHandler `json:"slowest,omitempty"`
	// Stacks are the stacks of all running handlers, where they were asked for.
	Stacks string `json:"stacks,omitempty"`
}

// QueueHealth is the health of one queue.
type QueueHealth struct {
	Queue string `json:"queue"`
	// Status is HealthOK or HealthOutage.
	Status string `json:"status"`
	// Error is why receiving fails, and Since when it began to.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Paused is true while a gate holds receiving back.
	Paused  bool `json:"paused,omitempty"`
	Pollers int  `json:"pollers"`
}

// RunningHandler is a handler at work.
type RunningHandler struct {
	Queue   string  `json:"queue"`
	Message string  `json:"message"`
	Attempt int     `json:"attempt"`
	Seconds float64 `json:"seconds"`
}

// Health returns an HTTP handler that tells the consumer's [Health] as JSON:
// with status 200 while it works, is starting or draining, and 503 when it has
// stopped, when a provider cannot be received from, or when nothing was finished
// for [Config.StallAfter] though messages wait. With the query stacks=1 the
// answer has the stacks of the handlers that run. It counts the queue at most
// once in ten seconds.
func (c *Consumer) Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := c.health()
		if r.URL.Query().Get("stacks") == "1" {
			h.Stacks = handlerStacks()
		}
		code := http.StatusOK
		switch h.Status {
		case HealthOutage, HealthStalled, HealthStopped:
			code = http.StatusServiceUnavailable
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		// A client that has gone away needs no answer.
		_ = json.NewEncoder(w).Encode(h)
	})
}

func (c *Consumer) health() Health {
	now := time.Now()
	h := Health{Status: HealthOK}
	for _, l := range c.lanes {
		q := QueueHealth{Queue: l.caps.Queue, Status: HealthOK, Paused: l.closedBy.Load() != nil}
		if since, err := l.outage.state(); err != nil {
			q.Status, q.Error, q.Since = HealthOutage, err.Error(), &since
			h.Status = HealthOutage
		}
		h.Queues = append(h.Queues, q)
	}
	c.mu.Lock()
	for i, l := range c.lanes {
		h.Queues[i].Pollers = l.pollers
	}
	h.Running, h.Waiting, h.Parked, h.Settling = c.running, c.waiting+c.ready.len(), c.parked, c.unsettled()
	full := c.running >= c.cfg.Concurrency
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
	idle := now.Sub(time.Unix(0, last))
	h.IdleSeconds = idle.Seconds()
	switch {
	case ended:
		h.Status = HealthStopped
	case stopping:
		h.Status = HealthDraining
	case h.Status == HealthOK && idle > c.stallAfter() && (full || h.Waiting > 0 || c.backlog(now)):
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

// backlogPeriod is how long the answer to whether a queue has messages holds.
const backlogPeriod = 10 * time.Second

// backlog asks whether messages wait at the provider.
func (c *Consumer) backlog(now time.Time) bool {
	c.backlogMu.Lock()
	defer c.backlogMu.Unlock()
	if now.Sub(c.backlogAt) < backlogPeriod {
		return c.backlogged
	}
	c.backlogAt, c.backlogged = now, false
	for _, l := range c.lanes {
		if d, ok := l.visible(); ok && d > 0 {
			c.backlogged = true
		}
	}
	return c.backlogged
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
