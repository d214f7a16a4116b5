package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A bench is a queue with a source and a sink open on it, and the steps that
// rules are made of. A step that fails ends the check.
type bench struct {
	*check
	q    *Queue
	o    QueueOptions
	src  drivers.Source
	sink drivers.Sink
	caps drivers.Capabilities

	advanced atomic.Int64
}

// source opens one more source on the queue.
func (b *bench) source() drivers.Source {
	s, err := b.q.OpenSource(b.ctx)
	if err != nil {
		b.fatalf("open source: %v", err)
	}
	b.atEnd(func() { b.closed("source", s.Close()) })
	return s
}

func (b *bench) openSink() drivers.Sink {
	s, err := b.q.OpenSink(b.ctx)
	if err != nil {
		b.fatalf("open sink: %v", err)
	}
	b.atEnd(func() { b.closed("sink", s.Close()) })
	return s
}

func (b *bench) closed(what string, err error) {
	if err != nil {
		b.Errorf("close %s: %v", what, err)
	}
}

// letters returns a bench on the dead-letter queue, without a sink.
func (b *bench) letters() *bench {
	if b.q.OpenDeadLetters == nil {
		b.fatalf("the harness made no dead-letter queue that can be opened, though the rule asked for one")
	}
	s, err := b.q.OpenDeadLetters(b.ctx)
	if err != nil {
		b.fatalf("open dead-letter queue: %v", err)
	}
	b.atEnd(func() { b.closed("dead-letter source", s.Close()) })
	return &bench{check: b.check, q: b.q, o: b.o, src: s, caps: s.Capabilities()}
}

// needsDeadLetter makes a queue with a dead-letter queue, or ends the check.
func (c *check) deadLetterQueue(o QueueOptions) *bench {
	o.DeadLetter = true
	b := c.queue(o)
	if !b.caps.DeadLetter {
		c.fatalf("the queue has a dead-letter queue, but Capabilities.DeadLetter is false")
	}
	return b
}

// now is the time by the queue's clock, for differences only.
func (b *bench) now() time.Time { return time.Now().Add(time.Duration(b.advanced.Load())) }

func (b *bench) since(t time.Time) time.Duration { return b.now().Sub(t) }

// pass lets d pass on the queue's clock.
func (b *bench) pass(d time.Duration) {
	if d <= 0 {
		return
	}
	if b.q.Advance != nil {
		b.q.Advance(d)
		b.advanced.Add(int64(d))
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.ctx.Done():
		b.fatalf("the rule's time ran out")
	}
}

type received struct {
	ds  []drivers.Delivery
	err error
}

// receiving starts a receive on src and returns where its outcome is sent.
func (b *bench) receiving(ctx context.Context, src drivers.Source, n int, wait time.Duration) <-chan received {
	out := make(chan received, 1)
	go func() {
		ds, err := src.Receive(ctx, n, wait)
		out <- received{ds, err}
	}()
	return out
}

// await waits for a receive, moving the queue's clock on where there is one.
func (b *bench) await(out <-chan received, wait time.Duration) received {
	if b.q.Advance == nil || wait <= 0 {
		select {
		case r := <-out:
			return r
		case <-b.ctx.Done():
			b.fatalf("a receive did not return in the rule's time")
		}
	}
	step := max(wait/8, time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case r := <-out:
			return r
		case <-tick.C:
			b.pass(step)
		case <-b.ctx.Done():
			b.fatalf("a receive did not return in the rule's time")
		}
	}
}

// poll receives once from src and checks what holds of every receive.
func (b *bench) poll(src drivers.Source, n int, wait time.Duration) []drivers.Delivery {
	n = min(n, src.Capabilities().MaxReceive)
	r := b.await(b.receiving(b.ctx, src, n, wait), wait)
	if r.err != nil {
		b.fatalf("receive: %v", r.err)
	}
	if len(r.ds) > n {
		b.fatalf("a receive of at most %d messages returned %d", n, len(r.ds))
	}
	for _, d := range r.ds {
		if d.Message == nil {
			b.fatalf("a delivery has no message")
		}
		if d.Receipt == "" {
			b.fatalf("message %s was delivered without a receipt", name(d.Message))
		}
	}
	return r.ds
}

// receiveWithin gathers n messages from src, until the given time has passed.
func (b *bench) receiveWithin(src drivers.Source, n int, within time.Duration) []drivers.Delivery {
	var got []drivers.Delivery
	begin := b.now()
	for len(got) < n {
		if b.since(begin) > within {
			b.fatalf("%d of %d messages came within %v: %s", len(got), n, within, names(got))
		}
		got = append(got, b.poll(src, n-len(got), time.Second)...)
	}
	return got
}

// receive gathers n messages of the queue.
func (b *bench) receive(n int) []drivers.Delivery { return b.receiveWithin(b.src, n, b.patience()) }

// receiveOne receives the next message of the queue.
func (b *bench) receiveOne() drivers.Delivery { return b.receive(1)[0] }

// returnsWithin waits for the next message past a lease or a delay.
func (b *bench) returns(after time.Duration) drivers.Delivery {
	return b.receiveWithin(b.src, 1, after+b.patience())[0]
}

// nothing fails if a message comes within the given time.
func (b *bench) nothing(within time.Duration, why string) {
	begin := b.now()
	for {
		left := within - b.since(begin)
		if ds := b.poll(b.src, 10, max(min(left, time.Second), 0)); len(ds) > 0 {
			b.fatalf("%s, but %s came after %v", why, names(ds), b.since(begin).Round(time.Millisecond))
		}
		if left <= 0 {
			return
		}
	}
}

// gone fails unless the queue's messages are gone for good: if one comes after
// whatever lease it had.
func (b *bench) gone(lease time.Duration, why string) {
	b.nothing(lease+time.Second, why)
}

// expire lets the leases of the deliveries end. On a server whose shortest
// lease is long they are cut short first.
func (b *bench) expire(ds ...drivers.Delivery) {
	if b.o.Lease > b.brief() {
		es := make([]drivers.Extension, len(ds))
		for i, d := range ds {
			es[i] = drivers.Extension{Receipt: d.Receipt, By: time.Second}
		}
		b.extend(es...)
		b.pass(time.Second)
		return
	}
	b.pass(b.o.Lease)
}

// send sends the messages, in batches as large as the sink takes.
func (b *bench) send(ms ...*handler.Message) {
	for batch := range slices.Chunk(ms, b.sink.Capabilities().MaxSend) {
		if err := b.each("send", len(batch), b.sink.Send(b.ctx, batch)); err != nil {
			b.fatalf("%v", err)
		}
	}
}

// sendN sends n small messages with the bodies "0", "1" and so on.
func (b *bench) sendN(n int) []*handler.Message {
	ms := numbered(n)
	b.send(ms...)
	return ms
}

// single is a message with the body, in a group of its own where there are
// groups.
func (b *bench) single(body string) *handler.Message {
	m := text(body)
	if b.o.Ordered {
		m.Group, m.DedupeID = body, body
	}
	return m
}

// sendGroup sends messages of one group.
func (b *bench) sendGroup(group string, bodies ...string) {
	ms := make([]*handler.Message, len(bodies))
	for i, body := range bodies {
		ms[i] = &handler.Message{Body: []byte(body), Group: group, DedupeID: group + "/" + body}
	}
	b.send(ms...)
}

// settle settles, and fails unless every settlement is carried out.
func (b *bench) settle(ss ...drivers.Settlement) {
	if err := b.each("settle", len(ss), b.src.Settle(b.ctx, ss)); err != nil {
		b.fatalf("%v", err)
	}
}

// extend extends, and fails unless every extension is made.
func (b *bench) extend(es ...drivers.Extension) {
	if err := b.each("extend", len(es), b.src.Extend(b.ctx, es)); err != nil {
		b.fatalf("%v", err)
	}
}

// each checks the shape of a batch's answer and joins its errors.
func (b *bench) each(op string, n int, errs []error) error {
	if errs != nil && len(errs) != n {
		b.fatalf("%s of %d items returned %d errors: it must be one an item, or nil", op, n, len(errs))
	}
	var all []error
	for i, err := range errs {
		if err != nil {
			all = append(all, fmt.Errorf("%s: item %d of %d: %w", op, i, n, err))
		}
	}
	return errors.Join(all...)
}

// answers returns an error an item, also where all succeeded.
func (b *bench) answers(op string, n int, errs []error) []error {
	_ = b.each(op, n, errs)
	if errs == nil {
		return make([]error, n)
	}
	return errs
}

// refused fails unless err is an error of one of the codes that says where it
// happened.
func (c *check) refused(err error, what string, codes ...drivers.Code) {
	if err == nil {
		c.fatalf("%s succeeded; it must fail as %v", what, codes)
	}
	if !slices.Contains(codes, drivers.CodeOf(err)) {
		c.fatalf("%s failed with code %q; it must be one of %v: %v", what, drivers.CodeOf(err), codes, err)
	}
}

func ack(d drivers.Delivery) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}
}

func drop(d drivers.Delivery) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDrop}
}

// retry gives a message back after a delay.
func retry(d drivers.Delivery, delay time.Duration) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionRetry, Delay: delay, Delayed: true}
}

// release gives messages back at once.
func release(d drivers.Delivery) drivers.Settlement { return retry(d, 0) }

// unseen gives a message back that no handler has seen.
func unseen(d drivers.Delivery, delay time.Duration) drivers.Settlement {
	s := retry(d, delay)
	s.Released = true
	return s
}

func reject(d drivers.Delivery, reason string) drivers.Settlement {
	now := time.Now()
	return drivers.Settlement{
		Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter,
		Failure: &drivers.Failure{Reason: reason, First: now.Add(-time.Minute), Last: now, Consumer: "drivertest"},
	}
}

func each(ds []drivers.Delivery, f func(drivers.Delivery) drivers.Settlement) []drivers.Settlement {
	ss := make([]drivers.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = f(d)
	}
	return ss
}

func numbered(n int) []*handler.Message {
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = text(strconv.Itoa(i))
	}
	return ms
}

func text(body string) *handler.Message { return &handler.Message{Body: []byte(body)} }

func bodies(ds []drivers.Delivery) []string {
	bs := make([]string, len(ds))
	for i, d := range ds {
		bs[i] = string(d.Message.Body)
	}
	return bs
}

func byBody(ds []drivers.Delivery) map[string]drivers.Delivery {
	m := make(map[string]drivers.Delivery, len(ds))
	for _, d := range ds {
		m[string(d.Message.Body)] = d
	}
	return m
}

// name tells a message apart in a failure's text.
func name(m *handler.Message) string {
	body := string(m.Body)
	if len(body) > 40 {
		body = body[:40] + "…"
	}
	return fmt.Sprintf("%q (id %s, attempt %d)", body, m.ID, m.Attempt)
}

func names(ds []drivers.Delivery) string {
	if len(ds) == 0 {
		return "no message"
	}
	s := ""
	for i, d := range ds {
		if i > 0 {
			s += ", "
		}
		s += name(d.Message)
	}
	return s
}
