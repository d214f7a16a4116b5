package consumer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"
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

// Health is the state of a consumer at one moment, as [Consumer.Health] returns it.
// It is a plain value; [Liveness], [Readiness] and [HealthHandler] serve it.
type Health struct {
	// Status is one of the constants above.
	Status string        `json:"status"`
	Queues []QueueHealth `json:"queues"`
	// IdleSeconds is how long ago a handler started or returned, or a receive found the
	// queue empty.
	IdleSeconds float64 `json:"idle_seconds"`
	Running     int     `json:"running"`
	Waiting     int     `json:"waiting"`
	Parked      int     `json:"parked"`
	Settling    int     `json:"settling"`
	// Slowest are the handlers that have run longest, at most ten.
	Slowest []RunningHandler `json:"slowest,omitempty"`
	// Stacks are the stacks of all running handlers of the process. Only an HTTP
	// response has them, if the request asks for them.
	Stacks string `json:"stacks,omitempty"`
}

// QueueHealth is the health of one queue.
type QueueHealth struct {
	Queue string `json:"queue"`
	// Status is HealthOK or HealthOutage.
	Status string `json:"status"`
	// Error is why receiving or settling fails, and Since when that began. Error also
	// reports a fault in the queue's configuration ([drivers.Watcher]), without Since.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Paused is true while a gate holds back receiving; PausedBy is the gate's reason,
	// if it has one.
	Paused   bool   `json:"paused,omitempty"`
	PausedBy string `json:"paused_by,omitempty"`
	// Notes are what else there is to know, such as an operator's limit. A Consumer has
	// none; package service adds them.
	Notes   []string `json:"notes,omitempty"`
	Pollers int      `json:"pollers"`
}

// RunningHandler is a handler that runs.
type RunningHandler struct {
	Queue   string  `json:"queue"`
	Message string  `json:"message"`
	Attempt int     `json:"attempt"`
	Seconds float64 `json:"seconds"`
}

// Live reports whether the process should keep running. It is false for a consumer that is
// stalled or has stopped, which a restart mends. An outage of the provider, a closed gate,
// an idle queue and a drain are not reasons for a restart.
func (h Health) Live() bool { return h.Status != HealthStalled && h.Status != HealthStopped }

// Ready reports whether the consumer can take messages. It is false before Run, during an
// outage or a drain, and for a consumer that is stalled or has stopped. A consumer whose
// gate is closed is ready: it waits on purpose.
func (h Health) Ready() bool { return h.Status == HealthOK }

// works reports whether the consumer works, is starting or draining.
func (h Health) works() bool { return h.Live() && h.Status != HealthOutage }

// Liveness returns the HTTP handler of a liveness probe. health is called for each
// request and is usually [Consumer.Health]. The status is 503 only if a restart mends the
// fault ([Health.Live]). An outage of the provider is not such a fault: a probe that
// restarted all replicas then would slow the recovery.
func Liveness(health func() Health) http.Handler { return healthHandler{health, Health.Live} }

// Readiness returns the HTTP handler of a readiness probe. health is called for each
// request and is usually [Consumer.Health]. The status is 200 only while the consumer can
// take messages ([Health.Ready]), so that a rollout stops at a version that cannot
// receive.
func Readiness(health func() Health) http.Handler { return healthHandler{health, Health.Ready} }

// HealthHandler returns an HTTP handler for people and dashboards; probes use [Liveness]
// and [Readiness]. health is called for each request and is usually [Consumer.Health]. The
// status is 200 while the consumer works, is starting or draining, and 503 if it is stalled
// or has stopped, and during an outage. With the query stacks=1 the response has the stacks
// of the running handlers.
func HealthHandler(health func() Health) http.Handler { return healthHandler{health, Health.works} }

// A healthHandler responds with a health as JSON, with status 200 if it is good.
type healthHandler struct {
	health func() Health
	good   func(Health) bool
}

func (p healthHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := p.health()
	if r.URL.Query().Get("stacks") == "1" {
		h.Stacks = handlerStacks()
	}
	code := http.StatusOK
	if !p.good(h) {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A client that has closed its connection needs no answer.
	_ = json.NewEncoder(w).Encode(h)
}

// stacksLimit bounds the memory for the stacks of all goroutines.
const stacksLimit = 16 << 20

// handlerStacks returns the stacks of the goroutines that run a handler, or carry out its
// verdict: an observer may be what takes so long.
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
		if bytes.Contains(g, []byte("consumer.(*workers).handle(")) {
			fmt.Fprintf(&out, "%s\n\n", bytes.TrimSpace(g))
		}
	}
	return out.String()
}
