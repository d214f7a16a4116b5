package seams

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// A message is one that a program sends, and its history.
type message struct {
	// Given by the program.
	index      int
	id         string
	group      string
	dedupeID   string
	attributes int
	delay      time.Duration
	script     []act

	// Its fate; guarded by the world.
	taken   bool // Send said so
	unknown bool // Send could not say
	sent    time.Time
	takenAt time.Time
	copies  int // that reached the queue, as its answers went

	calls      int // of the handler
	runs       []*run
	deliveries []*delivery
	effects    []effect
	left       time.Time
	leftHow    handler.Action
	letters    []*letter
	redriven   int
	redrivenAt time.Time
	dead       bool // it was dead-lettered by a consumer, and not redriven since
	surely     bool // so it was when it was redriven
	events     []event
}

// text is the body by which a message is known wherever it turns up.
func (m *message) text() string { return m.id }

// act is what the handler does in its n-th call, from 0.
func (m *message) act(n int) act { return m.script[min(n, len(m.script)-1)] }

// An event is a line of a message's history.
type event struct {
	at   time.Time
	text string
}

// A run is one call of the handler chain for a message.
type run struct {
	worker   string
	by       *worker
	delivery *delivery
	attempt  int
	began    time.Time
	// ended is when the handler returned, saw its context end, or was
	// killed with its worker, whichever came first. Zero while it runs.
	ended time.Time
	// reached is true once the innermost handler was called.
	reached  bool
	worked   bool // it has returned
	returned bool
	verdict  handler.Verdict
	killed   bool
	cut      bool // by the end of its worker's grace period
	// marked is true once the idempotency store has its mark; markFailed while it
	// could not be set.
	marked, markFailed bool
}

// running is true while the innermost handler runs and may.
func (r *run) running() bool { return r.reached && !r.worked && r.ended.IsZero() }

func (r *run) String() string {
	return fmt.Sprintf("on %s, attempt %d", r.worker, r.attempt)
}

// An effect is the work of a handler that succeeded.
type effect struct {
	at  time.Time
	run *run
}

// A letter is a dead letter that the message has become.
type letter struct {
	id     string
	reason string
	at     time.Time
}

// A delivery is a receipt that the queue gave out.
type delivery struct {
	id, receipt, mid string
	worker           *worker
	attempt          int
	at               time.Time
	// ends is a time by which the lease has ended for sure by the queue's clock.
	ends time.Time
	// lost is true until the answer has reached the consumer, and if it was late.
	lost bool
	// troubled reports whether a request about it went wrong on purpose.
	troubled bool
	// runs counts the calls of the handler chain but for postponements.
	runs       int
	settled    bool // it was acked, dropped or dead-lettered
	acked      bool // not dead-lettered, and while its lease lasted
	settledAt  time.Time
	released   bool // it was given back
	releasedAt time.Time
	draining   bool // and that while the worker was being stopped
	// refused is when the consumer knew that the lease is lost.
	refused time.Time
	stolen  bool
}

// world is what a program runs in.
type world struct {
	p     *program
	begin time.Time

	mu        sync.Mutex
	dice      dice
	rates     rates
	outage    bool
	hang      bool
	healed    chan struct{} // closed at the end of an outage or hang
	storeDown bool
	calm      bool // for good: the end of the program
	byID      map[string]*message
	byReceipt map[string]*delivery
	byBody    map[*byte]*delivery // by the memory of the body, which is the delivery's own
	findings  []finding
	log       []event
	workers   []*worker
	before    []before
	canceled  []time.Time // receives that the queue may have answered
	moved     time.Time   // when something last happened to a message
	gate      *gate
}

// A finding is something that must not be.
type finding struct {
	Rule    string `json:"rule"`
	Text    string `json:"text"`
	Message string `json:"message,omitempty"`
	History string `json:"history,omitempty"`
}

func newWorld(p *program) *world {
	w := &world{
		p: p, begin: time.Now(),
		dice:      dice{rand.New(rand.NewPCG(p.seed, 77))},
		byID:      map[string]*message{},
		byReceipt: map[string]*delivery{},
		byBody:    map[*byte]*delivery{},
		healed:    make(chan struct{}),
		gate:      newGate(),
	}
	for _, m := range p.messages {
		w.byID[m.id] = m
	}
	return w
}

// The rules that the checker holds.
const (
	ruleLost      = "nothing lost"
	ruleUnhandled = "no letter whose handler never ran"
	ruleReason    = "each failed letter has its reason"
	ruleOnce      = "one effect per identity"
	ruleOrder     = "order within a group"
	ruleOverlap   = "no two at once"
	ruleLate      = "no verdict after a lost lease"
	ruleBudget    = "Run ends within its budget"
	ruleLeak      = "no goroutine is left"
	ruleSpin      = "requests a second are bounded"
	ruleAttempt   = "attempts count anew after a redrive"
	ruleError     = "no error of its own"
)

// find notes a finding. w.mu is held.
func (w *world) find(rule string, m *message, format string, args ...any) {
	if len(w.findings) >= 20 {
		return
	}
	f := finding{Rule: rule, Text: fmt.Sprintf(format, args...)}
	if m != nil {
		f.Message = fmt.Sprintf("%s group=%q dedupe=%q script=%v", m.id, m.group, m.dedupeID, m.script)
		w.note(m, "FINDING: %s: %s", rule, f.Text)
	}
	w.findings = append(w.findings, f)
}

// note adds a line to a message's history. w.mu is held.
func (w *world) note(m *message, format string, args ...any) {
	w.moved = time.Now()
	m.events = append(m.events, event{time.Now(), fmt.Sprintf(format, args...)})
}

// say adds a line to the program's. w.mu is held.
func (w *world) say(format string, args ...any) {
	w.log = append(w.log, event{time.Now(), fmt.Sprintf(format, args...)})
}

// history returns what happened to a message, and around it. w.mu is held.
func (w *world) history(m *message) string {
	lines := slices.Concat(m.events, w.log)
	slices.SortStableFunc(lines, func(a, b event) int { return a.at.Compare(b.at) })
	var b strings.Builder
	skipped := 0
	for i, l := range lines {
		if len(lines) > 120 && i >= 60 && i < len(lines)-60 {
			skipped++
			continue
		}
		if skipped > 0 {
			fmt.Fprintf(&b, "      … %d lines\n", skipped)
			skipped = 0
		}
		fmt.Fprintf(&b, "%12v  %s\n", l.at.Sub(w.begin).Round(time.Millisecond), l.text)
	}
	return b.String()
}

// chance rolls the dice of the faults. w.mu is held.
func (w *world) chance(o op, t trouble) bool {
	return w.rates[o][t] > 0 && w.dice.chance(w.rates[o][t])
}

// leg is how long a request, or an answer, is on its way. It is never nothing: by
// a queue's clock a lease begins after the request for it was sent.
func (w *world) leg(o op, slow trouble) (d time.Duration, isSlow bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d = time.Duration(500+w.dice.IntN(3000)) * time.Microsecond
	if w.chance(o, slow) {
		return d + w.dice.between(w.p.lease/10, w.p.lease*3/2), true
	}
	return d, false
}

// locked runs f with w.mu held.
func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// heal ends outages. w.mu is held.
func (w *world) heal() {
	w.outage, w.hang = false, false
	close(w.healed)
	w.healed = make(chan struct{})
}

// atPeace ends all trouble for good.
func (w *world) atPeace() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say("peace: no more faults")
	w.calm, w.rates, w.storeDown = true, rates{}, false
	w.heal()
	w.gate.open()
}
