package seams

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The queues that programs run on.
const (
	onMem     = "mem"
	onSQLite  = "sqlite"
	onSQS     = "sqs"
	onSQSFIFO = "sqsfifo"
	onPubSub  = "pubsub"
)

var virtualQueues = []string{onMem, onSQLite, onSQS, onSQSFIFO, onPubSub}

// A program is a queue, messages with what their handlers do, and steps.
type program struct {
	queue string
	seed  uint64

	ordered     bool
	lease       time.Duration
	maxAttempts int
	dedupe      bool // the queue drops a dedupe ID that it has seen
	idempotent  bool // the middleware is in the chain
	backoff     bool // so is that of retries
	heartbeat   bool // and that
	workers     int
	concurrency int
	hookFaults  int // percent of the calls of hooks that panic
	drain, stop time.Duration
	steps       []step
	messages    []*message
}

func (p *program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "queue=%s seed=%d ordered=%t lease=%v max_attempts=%d dedupe=%t idempotent=%t backoff=%t heartbeat=%t workers=%d concurrency=%d hooks=%d%% drain=%v stop=%v\n",
		p.queue, p.seed, p.ordered, p.lease, p.maxAttempts, p.dedupe, p.idempotent, p.backoff, p.heartbeat, p.workers, p.concurrency, p.hookFaults, p.drain, p.stop)
	for i := range p.steps {
		fmt.Fprintf(&b, "%4d  %s\n", i, p.steps[i].String())
	}
	return b.String()
}

// A deed is the action of a step.
type deed string

const (
	doSend      deed = "send"      // n messages, from first on
	doDeploy    deed = "deploy"    // stops a worker and starts another
	doKill      deed = "kill"      // likewise, without a word
	doFaults    deed = "faults"    // requests fail, lose their answers, or are slow
	doCalm      deed = "calm"      // no more of that
	doOutage    deed = "outage"    // the queue is out of reach for d
	doHang      deed = "hang"      // the queue takes requests and does not answer for d
	doStoreDown deed = "storedown" // the idempotency store is out of reach for d
	doGate      deed = "gate"      // the gate is closed for d
	doNarrow    deed = "narrow"    // the gate lets n through at a time, for d
	doSteal     deed = "steal"     // n of the leases in force end
	doNative    deed = "redrive"   // the provider's own
	doSelective deed = "selective" // redrive of ours, n at most
	doShrink    deed = "shrink"    // the queue's own lease is now d
	doWait      deed = "wait"
)

type step struct {
	deed  deed
	n     int
	first int
	d     time.Duration
	rates rates
	after time.Duration // pause behind it
}

func (s *step) String() string {
	var b strings.Builder
	b.WriteString(string(s.deed))
	if s.n != 0 {
		fmt.Fprintf(&b, " n=%d", s.n)
	}
	if s.deed == doSend {
		fmt.Fprintf(&b, " first=%d", s.first)
	}
	if s.d != 0 {
		fmt.Fprintf(&b, " %v", s.d)
	}
	if s.deed == doFaults {
		b.WriteString(s.rates.String())
	}
	fmt.Fprintf(&b, "  (then %v)", s.after)
	return b.String()
}

// An op is what a request is for.
type op int

const (
	opReceive op = iota
	opSettle
	opExtend
	opSend
	ops
)

var opNames = [ops]string{"receive", "settle", "extend", "send"}

// A trouble is how a request fares badly.
type trouble int

const (
	fails      trouble = iota // it does not reach the queue
	loses                     // it does, and the answer is lost
	slowThere                 // it is long on its way to the queue
	slowBack                  // the answer is
	inPart                    // some of its entries fail
	leaseIsOff                // an extension is refused, though the lease lasts
	troubles
)

var troubleNames = [troubles]string{"fails", "loses its answer", "slow there", "slow back", "fails in part", "refused"}

// rates are percentages.
type rates [ops][troubles]int

func (r *rates) String() string {
	var b strings.Builder
	for o := range r {
		for k, n := range r[o] {
			if n > 0 {
				fmt.Fprintf(&b, "; %s %s %d%%", opNames[o], troubleNames[k], n)
			}
		}
	}
	return b.String()
}

// dice are a program's random choices.
type dice struct{ *rand.Rand }

func (r dice) chance(percent int) bool { return r.IntN(100) < percent }

func (r dice) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(r.Int64N(int64(high-low)+1))).Truncate(time.Millisecond)
}

func pick[T any](r dice, of ...T) T { return of[r.IntN(len(of))] }

// generate makes the program of a seed.
func generate(queue string, seed uint64) *program {
	salt := uint64(0)
	for _, c := range queue {
		salt = salt*131 + uint64(c)
	}
	r := dice{rand.New(rand.NewPCG(seed, salt))}
	p := &program{
		queue: queue, seed: seed,
		ordered:     r.chance(50),
		lease:       time.Duration(pick(r, 5, 8, 10, 20, 30)) * time.Second,
		maxAttempts: 3 + r.IntN(4),
		dedupe:      r.chance(40),
		idempotent:  r.chance(65),
		backoff:     r.chance(40),
		heartbeat:   r.chance(30),
		workers:     1 + r.IntN(3),
		concurrency: pick(r, 1, 2, 3, 4, 8, 16),
		drain:       r.between(200*time.Millisecond, 6*time.Second),
		stop:        r.between(200*time.Millisecond, 2*time.Second),
	}
	if r.chance(25) {
		p.hookFaults = 1 + r.IntN(20)
	}
	switch queue {
	case onSQS:
		p.ordered, p.dedupe = false, false
	case onSQSFIFO:
		p.ordered, p.dedupe = true, true
	case onPubSub:
		p.dedupe = false
		p.lease = max(p.lease, 10*time.Second)
		p.maxAttempts = max(p.maxAttempts, 5)
	}
	groups := pick(r, 1, 2, 3, 5, 8)
	for n := 4 + r.IntN(12); n > 0; n-- {
		p.steps = append(p.steps, p.step(r, groups))
	}
	if len(p.messages) == 0 {
		p.steps = append(p.steps, p.sending(r, groups))
	}
	p.steps = slices.DeleteFunc(p.steps, func(s step) bool { return slices.Contains(strings.Split(*flagWithout, ","), string(s.deed)) })
	return p
}

func (p *program) step(r dice, groups int) step {
	s := step{after: r.between(0, pick(r, 50*time.Millisecond, time.Second, 5*time.Second, p.lease))}
	if len(p.messages) == 0 || r.chance(25) {
		return p.sending(r, groups)
	}
	some := r.between(200*time.Millisecond, 3*p.lease)
	for s.deed == "" {
		switch d := pick(r, doDeploy, doDeploy, doDeploy, doKill, doKill, doFaults, doFaults, doFaults, doFaults, doCalm, doOutage, doHang,
			doStoreDown, doGate, doNarrow, doSteal, doNative, doSelective, doShrink, doWait); d {
		case doFaults:
			s.deed = d
			for n := 1 + r.IntN(3); n > 0; n-- {
				k := trouble(r.IntN(int(leaseIsOff) + 1))
				o := op(r.IntN(int(ops)))
				if k == leaseIsOff {
					o = opExtend
				}
				if k == inPart && o == opReceive {
					k = fails
				}
				s.rates[o][k] = pick(r, 5, 15, 30, 60)
			}
		case doOutage, doHang, doWait, doGate:
			s.deed, s.d = d, some
		case doNarrow:
			s.deed, s.d, s.n = d, some, 1+r.IntN(3)
		case doStoreDown:
			if p.idempotent {
				s.deed, s.d = d, some
			}
		case doSteal:
			if !p.ordered || p.idempotent {
				s.deed, s.n = d, 1+r.IntN(3)
			}
		case doSelective:
			s.deed, s.n = d, r.IntN(4)
		case doShrink:
			if p.queue == onSQS || p.queue == onSQSFIFO {
				s.deed, s.d = d, time.Duration(pick(r, 2, 3, 5))*time.Second
			}
		default:
			s.deed = d
		}
	}
	return s
}

// sending makes messages and the step that sends them.
func (p *program) sending(r dice, groups int) step {
	s := step{deed: doSend, first: len(p.messages), n: 1 + r.IntN(pick(r, 3, 12, 30)), after: r.between(0, 2*time.Second)}
	calm := r.chance(30) // all goes well
	for range s.n {
		m := &message{index: len(p.messages), id: fmt.Sprintf("m%d", len(p.messages))}
		if p.ordered || r.chance(30) {
			m.group = fmt.Sprintf("g%d", r.IntN(groups))
		}
		if r.chance(50) {
			m.dedupeID = "key-" + m.id
		}
		m.attributes = r.IntN(5)
		if p.queue != onSQSFIFO && p.queue != onPubSub && !p.ordered && r.chance(10) {
			m.delay = r.between(time.Second, 10*time.Second)
		}
		m.script = p.script(r, calm)
		p.messages = append(p.messages, m)
	}
	return s
}

// An act is what a handler does in one call.
type act struct {
	kind string
	d    time.Duration
}

func (a act) String() string {
	if a.d == 0 {
		return a.kind
	}
	return fmt.Sprintf("%s(%v)", a.kind, a.d)
}

// The acts.
const (
	actOK        = "ok"        // works for d
	actFail      = "fail"      // works for d and fails
	actAfter     = "after"     // wants a retry after d
	actPostpone  = "postpone"  // is not handled yet
	actReject    = "reject"    // is rejected
	actPermanent = "permanent" // likewise, by a PermanentError
	actDrop      = "drop"      // is dropped
	actPanic     = "panic"     // panics
	actGoexit    = "goexit"    // ends its goroutine
	actNilFail   = "nilfail"   // fails with a typed nil, whose methods panic
	actNilReject = "nilreject" // is rejected with one
	actKeep      = "keep"      // keeps its lease for d, which is longer than it
	actHook      = "hook"      // likewise, with a hook that panics
	actExtend    = "extend"    // extends its lease by hand, then works
	actOverlong  = "overlong"  // works for longer than its lease
	actStubborn  = "stubborn"  // does not listen to its context for d
)

// script is what the handler does in its first call, its second, and so on; the
// last act repeats.
func (p *program) script(r dice, calm bool) []act {
	quick := act{actOK, r.between(0, 300*time.Millisecond)}
	if calm || r.chance(45) {
		return []act{quick}
	}
	few := func(of ...act) []act {
		var acts []act
		for range 1 + r.IntN(p.maxAttempts-1) {
			acts = append(acts, of[r.IntN(len(of))])
		}
		return append(acts, quick)
	}
	failure := act{actFail, r.between(0, 200*time.Millisecond)}
	switch r.IntN(16) {
	case 0, 1:
		return few(failure)
	case 2:
		return few(act{actAfter, r.between(0, 20*time.Second)})
	case 3:
		return few(act{actPostpone, r.between(0, p.lease*3/2)})
	case 4:
		return []act{{actReject, 0}}
	case 5:
		return []act{pick(r, act{actPermanent, 0}, act{actNilReject, 0})}
	case 6:
		return []act{{actDrop, 0}}
	case 7:
		return few(act{actPanic, 0}, act{actGoexit, 0}, act{actNilFail, 0})
	case 8:
		return []act{{actKeep, r.between(p.lease, 3*p.lease)}}
	case 9:
		return []act{{actHook, r.between(p.lease, 2*p.lease)}}
	case 10:
		return []act{{actExtend, r.between(0, p.lease/2)}, quick}
	case 11:
		return []act{{actOverlong, p.lease + r.between(0, p.lease)}, quick}
	case 12:
		return []act{{actStubborn, r.between(0, 2*p.lease)}, quick}
	case 13, 14: // poison
		return []act{pick(r, failure, act{actAfter, r.between(0, 3*time.Second)}, act{actPanic, 0}, act{actNilFail, 0}, act{actGoexit, 0})}
	default:
		return few(failure, act{actAfter, r.between(0, 5*time.Second)}, act{actPanic, 0}, act{actPostpone, r.between(0, 2*time.Second)})
	}
}
