package watermill

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

const (
	// firstPause and lastPause bound the pause between failed requests.
	firstPause = 100 * time.Millisecond
	lastPause  = 15 * time.Second
	// requestTimeout bounds each settlement and extension.
	requestTimeout = 10 * time.Second
	// pollGrace is how long a receive may go on once the subscription ends. Ending it
	// immediately would hide messages that the provider has just granted until their
	// leases end.
	pollGrace = 200 * time.Millisecond
	// lastWord is how long a subscription waits for acks and nacks after it has
	// ended the messages' contexts.
	lastWord = time.Second
)

// A subscription is one call of Subscribe. One goroutine receives. Each held
// message has its own goroutine; there are at most Concurrency of them.
//
// It ends in this order: the receiver returns, so that no released message is
// received again; every message that was not taken from out is released; out is
// closed; the others are acked or nacked, or abandoned after CloseTimeout; the
// source is closed.
type subscription struct {
	source drivers.Source
	caps   drivers.Capabilities
	topic  string
	cfg    *SubscriberConfig
	stop   context.CancelFunc // ends receiving

	out       chan *message.Message
	slots     chan struct{}  // one element for each message in hand or asked for
	unsent    sync.WaitGroup // messages in hand that may still go to out
	unsettled sync.WaitGroup // messages in hand
	quiet     chan struct{}  // closed when the receiver has returned
	abandoned chan struct{}  // closed when unsettled messages are left to their leases
	ended     chan struct{}  // closed when err is set and nothing runs any more
	err       error          // of the source's Close

	mu     sync.Mutex        // never held during a request; guards groups and their fields
	groups map[string]*group // of an ordered queue, those with messages in hand
}

// A group is a chain of held messages, each waiting for the one before. It is
// broken, and accepts no more messages, once one of its messages was not acked:
// those behind it are released, and the next delivery begins a new chain.
type group struct {
	last   *held
	broken bool
}

func newSubscription(source drivers.Source, topic string, cfg *SubscriberConfig) *subscription {
	return &subscription{
		source: source, caps: source.Capabilities(), topic: topic, cfg: cfg,
		out: make(chan *message.Message), slots: make(chan struct{}, cfg.Concurrency),
		quiet: make(chan struct{}), abandoned: make(chan struct{}), ended: make(chan struct{}), groups: map[string]*group{},
	}
}

// run receives until receiving is done, then ends the subscription. Messages'
// contexts derive from parent.
func (s *subscription) run(receiving, parent context.Context) {
	defer close(s.ended)
	messages, end := context.WithCancel(parent)
	defer end()
	s.receive(receiving, messages)
	close(s.quiet)
	s.unsent.Wait()
	close(s.out)

	settled := make(chan struct{})
	go func() {
		s.unsettled.Wait()
		close(settled)
	}()
	if !within(settled, s.cfg.CloseTimeout) {
		end()
		if !within(settled, lastWord) {
			s.cfg.Logger.Warn("watermill: messages were neither acked nor nacked: the queue redelivers them", "topic", s.topic, "messages", len(s.slots))
			close(s.abandoned)
			<-settled
		}
	}
	s.err = s.source.Close()
}

// receive asks for as many messages as there are free slots, again and again. It
// returns when ctx is done or the source is closed.
func (s *subscription) receive(ctx, messages context.Context) {
	polls, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		if !within(polls.Done(), pollGrace) {
			end()
		}
	})()
	pause := time.Duration(0)
	for {
		n := s.reserve(ctx)
		if n == 0 {
			return
		}
		ds, err := s.source.Receive(polls, n, drivers.MaxWait)
		for range n - len(ds) {
			<-s.slots
		}
		s.hold(messages, ds)
		switch {
		case ctx.Err() != nil:
			return
		case drivers.CodeOf(err) == drivers.Closed:
			s.cfg.Logger.Error("watermill: the source was closed: the subscription ends", "topic", s.topic, "error", invoke.Safe(err))
			return
		case err != nil:
			if pause == 0 {
				s.cfg.Logger.Warn("watermill: receiving failed: retrying", "topic", s.topic, "error", invoke.Safe(err))
			}
			pause = longer(pause)
			if !wait(ctx, pause) {
				return
			}
		case pause > 0:
			pause = 0
			s.cfg.Logger.Info("watermill: receiving works again", "topic", s.topic)
		}
	}
}

// reserve takes a slot, waiting for it, and those of the others that are free, at
// most as many as one receive may ask for. It returns 0 when ctx is done.
func (s *subscription) reserve(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case s.slots <- struct{}{}:
	}
	for n := 1; ; n++ {
		if n >= s.caps.MaxReceive {
			return n
		}
		select {
		case s.slots <- struct{}{}:
		default:
			return n
		}
	}
}

// hold starts the goroutines of the messages of one receive, whose slots are taken
// already. All have their places in their groups before the first is offered: a
// nack of the first must reach those that were received with it. A provider hands
// out the messages of a group in one receive at a time.
func (s *subscription) hold(messages context.Context, ds []drivers.Delivery) {
	hs := make([]*held, len(ds))
	for i, d := range ds {
		hs[i] = newHeld(messages, s, d)
		if g := d.Message.Group; g != "" && s.caps.Ordered {
			s.join(hs[i], g)
		}
	}
	s.unsent.Add(len(hs))
	s.unsettled.Add(len(hs))
	for _, h := range hs {
		go func() {
			defer s.unsettled.Done()
			defer func() { <-s.slots }()
			h.run()
		}()
	}
}

// join puts h behind the held messages of its group.
func (s *subscription) join(h *held, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil || g.broken {
		g = &group{}
		s.groups[name] = g
	}
	h.group, h.before, g.last = g, g.last, h
}

// leave takes h off its group, which breaks unless h was acked. A second call
// does nothing.
func (s *subscription) leave(h *held) {
	g := h.group
	if g == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.broken = g.broken || !h.acked
	if name := h.delivery.Message.Group; s.groups[name] == g && (g.broken || g.last == h) {
		delete(s.groups, name)
	}
}

// settle carries out one settlement until deadline, if it is not zero. It reports
// whether the queue confirmed it.
func (s *subscription) settle(x drivers.Settlement, deadline time.Time) bool {
	for pause := firstPause; ; pause = longer(pause) {
		err := s.request(deadline, func(ctx context.Context) []error { return s.source.Settle(ctx, []drivers.Settlement{x}) })
		if err == nil {
			return true
		}
		// A repeated retry could return the message from its next consumer.
		once := !s.caps.StaleReceiptHarmless && x.Action == 0
		ended := !deadline.IsZero() && time.Until(deadline) <= pause
		if !drivers.CodeOf(err).Retryable() || once || ended || !s.sleep(pause) {
			s.cfg.Logger.Warn("watermill: a message was not settled: the queue redelivers it", "topic", s.topic, "message", x.Message.ID, "error", invoke.Safe(err))
			return false
		}
	}
}

// request bounds one request about one message, and returns its error.
func (s *subscription) request(deadline time.Time, do func(context.Context) []error) error {
	until := time.Now().Add(requestTimeout)
	if !deadline.IsZero() && deadline.Before(until) {
		until = deadline
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	if errs := do(ctx); len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// sleep waits for d. It reports false if the subscription abandons its messages
// meanwhile.
func (s *subscription) sleep(d time.Duration) bool { return !within(s.abandoned, d) }

// within reports whether c is closed within d.
func within(c <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// wait waits for d, with jitter. It reports false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	return !within(ctx.Done(), d/2+rand.N(d/2)) //nolint:gosec // jitter
}

// longer returns the pause after pause.
func longer(pause time.Duration) time.Duration { return min(max(2*pause, firstPause), lastPause) }
