package seams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/producer"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }

// A show runs a program.
type show struct {
	*world
	rig   *rig
	raw   drivers.Source // for redrives and letters; no faults
	marks idempotency.Store
	staff []*worker // at work
	gone  []*worker
	ends  []func()       // of what was struck
	tasks sync.WaitGroup // timers, redrives
}

// play runs a program in the bubble that the caller is in, or in real time, and
// returns what must not be.
func play(p *program, o *outside) (w *world, err error) {
	w = newWorld(p)
	ctx := context.Background()
	s := &show{world: w, marks: idempotency.NewMemory()}
	if s.rig, err = p.rig(ctx, o); err != nil {
		return w, err
	}
	if s.raw, err = s.rig.source(ctx); err != nil {
		return w, errors.Join(err, s.rig.close())
	}
	err = s.perform(ctx)
	return w, errors.Join(err, s.raw.Close(), s.rig.close())
}

func (s *show) perform(ctx context.Context) error {
	for range s.p.workers {
		if err := s.start(ctx, s.p.concurrency); err != nil {
			return err
		}
	}
	for i := range s.p.steps {
		if err := s.step(ctx, i); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	s.atPeace()
	s.endStrikes()
	for len(s.staff) > 0 {
		s.leave(0).dismiss()
	}
	s.tasks.Wait()
	if err := s.start(ctx, 16); err != nil {
		return err
	}
	s.drain(ctx)
	s.leave(0).dismiss()
	for _, k := range s.gone {
		s.await(k)
	}
	s.awaitHandlers()
	if err := s.collect(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkEnd()
	return nil
}

// patience is how long Run may take to end before the suite goes on without it.
const patience = 3 * time.Minute

func (s *show) await(k *worker) {
	select {
	case <-k.done:
	case <-time.After(patience):
		s.locked(func() { s.find(ruleBudget, nil, "Run of %s has not ended %v after it was asked to", k.name, patience) })
	}
}

// awaitHandlers waits for the handlers that do not listen to their contexts.
func (s *show) awaitHandlers() {
	for until := time.Now().Add(5 * s.p.lease); time.Now().Before(until); pass(100 * time.Millisecond) {
		s.mu.Lock()
		busy := slices.ContainsFunc(s.p.messages, func(m *message) bool {
			return slices.ContainsFunc(m.runs, func(r *run) bool { return !r.returned })
		})
		s.mu.Unlock()
		if !busy {
			return
		}
	}
}

func (s *show) start(ctx context.Context, concurrency int) error {
	source, err := s.rig.source(ctx)
	if err != nil {
		return err
	}
	k, err := s.hire(source, s.marks, concurrency)
	if err != nil {
		return err
	}
	s.staff = append(s.staff, k)
	return nil
}

// leave takes the i-th worker off the staff.
func (s *show) leave(i int) *worker {
	k := s.staff[i]
	s.staff = slices.Delete(s.staff, i, i+1)
	s.gone = append(s.gone, k)
	return k
}

func (s *show) anyone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dice.IntN(len(s.staff))
}

// later runs f after d, in the program's time.
func (s *show) later(d time.Duration, f func()) {
	s.tasks.Go(func() {
		pass(d)
		f()
	})
}

func (s *show) step(ctx context.Context, i int) error {
	x := &s.p.steps[i]
	s.locked(func() { s.say("step %d: %s", i, x.String()) })
	switch x.deed {
	case doSend:
		if err := s.send(ctx, s.p.messages[x.first:x.first+x.n]); err != nil {
			return err
		}
	case doDeploy, doKill:
		k := s.leave(s.anyone())
		if x.deed == doKill {
			k.kill()
		} else {
			k.dismiss()
		}
		if err := s.start(ctx, s.p.concurrency); err != nil {
			return err
		}
	case doFaults:
		s.locked(func() { s.rates = x.rates })
		s.strike(&x.rates)
	case doCalm:
		s.locked(func() { s.rates = rates{} })
		s.endStrikes()
	case doOutage:
		s.locked(func() {
			s.outage = true
			for _, k := range s.workers {
				for cancel := range k.onKill {
					(*cancel)()
				}
			}
		})
		s.later(x.d, func() { s.locked(s.heal) })
	case doHang:
		s.locked(func() { s.hang = true })
		s.later(x.d, func() { s.locked(s.heal) })
	case doStoreDown:
		s.locked(func() { s.storeDown = true })
		s.later(x.d, func() { s.locked(func() { s.storeDown = false }) })
	case doGate:
		s.gate.shut()
		s.later(x.d, s.gate.open)
	case doNarrow:
		s.gate.restrict(x.n)
		s.later(x.d, s.gate.open)
	case doSteal:
		s.steal(ctx, x.n)
	case doNative:
		s.redrive(ctx, &redrive.Options{})
	case doSelective:
		s.redrive(ctx, &redrive.Options{Max: x.n, MaxRedrives: 2})
	case doShrink:
		if err := s.rig.shrink(ctx, x.d); err != nil {
			return err
		}
	case doWait:
		pass(x.d)
	}
	pass(x.after)
	return nil
}

// strike has entries fail at the queue itself, if it can.
func (s *show) strike(r *rates) {
	s.endStrikes()
	if s.rig.strike == nil {
		return
	}
	for o, actions := range map[op][]string{
		opSend: {"SendMessageBatch"}, opSettle: {"DeleteMessageBatch", "ChangeMessageVisibilityBatch"},
	} {
		if r[o][inPart] > 0 {
			for _, a := range actions {
				s.ends = append(s.ends, s.rig.strike(a, r[o][inPart]))
			}
		}
	}
}

func (s *show) endStrikes() {
	for _, end := range s.ends {
		end()
	}
	s.ends = nil
}

func (s *show) send(ctx context.Context, ms []*message) error {
	sink, err := s.rig.sink(ctx)
	if err != nil {
		return err
	}
	p, err := producer.New(&sinkWire{sink, s.world}, &producer.Config{
		RetryFor: 20 * time.Second, RequestTimeout: 10 * time.Second,
		Prepare: []func(context.Context, *handler.Message) error{func(context.Context, *handler.Message) error {
			s.mayPanic("the hook Prepare")
			return nil
		}},
	})
	if err != nil {
		return err
	}
	var out []*handler.Message
	s.locked(func() {
		for _, m := range ms {
			m.sent = time.Now()
			h := &handler.Message{Body: []byte(m.text()), Group: m.group, DedupeID: m.dedupeID, Delay: m.delay}
			for i := range m.attributes {
				h.SetAttribute(fmt.Sprintf("a%d", i), "v")
			}
			out = append(out, h)
		}
	})
	tctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = p.Send(tctx, out...)
	s.mu.Lock()
	failed := map[int]error{}
	if e := (*producer.SendError)(nil); errors.As(err, &e) {
		for _, f := range e.Failed {
			failed[f.Index] = f.Err
		}
	} else if err != nil {
		s.find(ruleError, nil, "Send returned %v", err)
	}
	for i, m := range ms {
		m.takenAt = time.Now()
		m.taken, m.unknown = failed[i] == nil, failed[i] != nil
		s.note(m, "Send has returned: %v", failed[i])
	}
	s.mu.Unlock()
	return p.Close()
}

// steal ends leases that are in force, so that their messages are delivered
// elsewhere.
func (s *show) steal(ctx context.Context, n int) {
	var es []drivers.Extension
	s.locked(func() {
		now := time.Now()
		for _, m := range s.p.messages {
			for _, d := range m.deliveries {
				if len(es) < n && !d.settled && !d.released && now.Before(d.ends) {
					d.stolen = true
					s.note(m, "its lease on %s ends", d.worker.name)
					es = append(es, drivers.Extension{Receipt: d.receipt})
				}
			}
		}
	})
	if len(es) > 0 {
		_ = s.raw.Extend(ctx, es) // what has ended by now is nobody's
	}
}

// redrive brings letters back, in the background.
func (s *show) redrive(ctx context.Context, o *redrive.Options) {
	begin := time.Now()
	mark := func(m *message) {
		m.redriven++
		m.redrivenAt, m.surely, m.dead = begin, m.dead && !m.stolen(), false
		s.note(m, "redriven")
	}
	if o.Max > 0 || o.MaxRedrives > 0 || !s.raw.Capabilities().NativeRedrive {
		// Letters that handlers make while the redrive lasts are moved by it too.
		o.Found = func(h *handler.Message) {
			s.locked(func() {
				if m := s.byID[string(h.Body)]; m != nil {
					mark(m)
				}
			})
		}
	} else {
		s.locked(func() {
			for _, m := range s.p.messages {
				if m.dead || s.couldExhaust(m) {
					mark(m)
				}
			}
		})
	}
	s.tasks.Go(func() {
		tctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		result, err := redrive.Run(tctx, s.raw, o)
		s.locked(func() {
			s.say("redrive: %+v %v", result, err)
			if err != nil && tctx.Err() == nil && !drivers.CodeOf(err).Retryable() {
				s.find(ruleError, nil, "the redrive failed: %v", err)
			}
		})
	})
}

// drain waits until the queue is empty.
func (s *show) drain(ctx context.Context) {
	const most = 4 * time.Minute // with nothing happening
	stalled := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Since(s.moved) > most
	}
	s.locked(func() { s.moved = time.Now() })
	for in := 0; in < 2; {
		pass(500 * time.Millisecond)
		empty, err := s.rig.empty(ctx)
		switch {
		case err != nil:
			s.locked(func() { s.find(ruleError, nil, "counting: %v", err) })
			return
		case empty:
			in++
		case stalled():
			s.locked(func() {
				s.find(ruleLost, nil, "the queue is not empty though nothing has happened for %v, and all faults have ended", most)
				for _, m := range s.p.messages {
					if m.copies > 0 && m.left.IsZero() {
						s.find(ruleLost, m, "it has not left the queue")
						break
					}
				}
			})
			return
		default:
			in = 0
		}
	}
}

// collect reads the dead-letter queue.
func (s *show) collect(ctx context.Context) error {
	letters, err := s.raw.(deadletter.Opener).OpenDeadLetters(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = letters.Close() }()
	// A redrive that could not give a letter back leaves it hidden for as long as it
	// held it, and reports that (Result.Hidden).
	count, counts := letters.(drivers.Inspector)
	end := time.Now().Add(11 * time.Minute)
	for none := 0; none < 2; {
		if none == 1 && counts && time.Now().Before(end) {
			if d, err := count.Depth(ctx); err == nil && d.InFlight > 0 {
				pass(10 * time.Second)
				none = 0
			}
		}
		ds, err := letters.Receive(ctx, letters.Capabilities().MaxReceive, 2*time.Second)
		if err != nil {
			return err
		}
		if len(ds) == 0 {
			none++
			continue
		}
		none = 0
		var acks []drivers.Settlement
		s.mu.Lock()
		for _, d := range ds {
			acks = append(acks, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck})
			m := s.byID[string(d.Message.Body)]
			if m == nil {
				s.find(ruleError, nil, "a letter that nobody sent: %q", d.Message.Body)
				continue
			}
			reason := reasonOf(d.Message)
			m.letters = append(m.letters, &letter{d.Message.ID, reason, time.Now()})
			s.note(m, "found in the dead-letter queue: %q, attempt %d", reason, d.Message.Attempt)
		}
		s.mu.Unlock()
		for batch := range slices.Chunk(acks, letters.Capabilities().MaxSettle) {
			if err := errors.Join(letters.Settle(ctx, batch)...); err != nil {
				return err
			}
		}
	}
	return nil
}

var bubbleOf = regexp.MustCompile(`^goroutine (\d+) \[.*synctest bubble (\d+)`)

// leftovers are the stacks of the goroutines that are left in the caller's
// bubble, but for the caller.
func leftovers() [][]byte {
	synctest.Wait()
	own := make([]byte, 256)
	own = own[:runtime.Stack(own, false)]
	me := bubbleOf.FindSubmatch(own)
	if me == nil {
		return nil
	}
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out [][]byte
	for g := range bytes.SplitSeq(buf, []byte("\n\n")) {
		h := bubbleOf.FindSubmatch(g)
		if h != nil && bytes.Equal(h[2], me[2]) && !bytes.Equal(h[1], me[1]) {
			if bytes.Contains(g, []byte("internal/synctest.Run(")) || bytes.Contains(g, []byte("created by testing/synctest.Test in")) { // it waits for the caller
				continue
			}
			out = append(out, g)
		}
	}
	return out
}

// pass has time pass.
func pass(d time.Duration) { <-time.After(d) }

func seedName(p *program) string { return p.queue + "/" + strconv.FormatUint(p.seed, 10) }
