package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
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
	if sleep.For(b.ctx, d) != nil {
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

// await waits for a receive and advances the queue's clock if it has one.
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

// single returns a message with the body, in a separate group if there are
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

// roundTrip sends messages one at a time and fails unless their attributes and
// bodies arrive as they were sent.
func (b *bench) roundTrip(what string, m *handler.Message) {
	body, attributes := string(m.Body), clone(m.Attributes)
	if errs := b.answers("send", 1, b.sink.Send(b.ctx, messages(m))); errs[0] != nil {
		b.fatalf("%s: send: %v", what, errs[0])
	}
	d := b.receiveOne()
	require.Equal(b.check, body, string(d.Message.Body), "%s: body", what)
	if len(attributes) == 0 {
		require.Empty(b.check, d.Message.Attributes, "%s: attributes", what)
	} else {
		require.Equal(b.check, attributes, d.Message.Attributes, "%s: attributes", what)
	}
	b.settle(ack(d))
}

// faithfulOrRefused fails unless the message arrives as it was sent, or is
// refused as invalid and does not arrive.
func (b *bench) faithfulOrRefused(what string, m *handler.Message) {
	body, attributes := string(m.Body), clone(m.Attributes)
	errs := b.answers("send", 1, b.sink.Send(b.ctx, messages(m)))
	if errs[0] != nil {
		b.refused(errs[0], what, drivers.Invalid, drivers.Unsupported)
		b.nothing(time.Second, what+" was refused")
		return
	}
	d := b.receiveOne()
	require.Equal(b.check, body, string(d.Message.Body), "%s: body", what)
	require.Equal(b.check, attributes, d.Message.Attributes, "%s: attributes", what)
	b.settle(ack(d))
}

// needsLease ends the check unless leases are known and can be extended.
func (b *bench) needsLease() {
	b.needs(b.caps.MaxExtension > 0, "deliveries have no lease that is known, and none that can be extended")
}

// drain receives from src until n messages were seen by all the drains of
// seen, calling each for every delivery.
func (b *bench) drain(src drivers.Source, seen *tally, n int, handle func(drivers.Delivery) error) error {
	begin := time.Now()
	for seen.total() < n && time.Since(begin) < 2*b.patience() {
		ds, err := src.Receive(b.ctx, min(5, b.caps.MaxReceive), 0)
		if err != nil {
			return err
		}
		for _, d := range ds {
			seen.add(string(d.Message.Body))
			if err := handle(d); err != nil {
				return err
			}
		}
		if len(ds) == 0 {
			b.pause()
		}
	}
	return nil
}

// pause lets others work, between two receives that do not wait.
func (b *bench) pause() { _ = sleep.For(b.ctx, 20*time.Millisecond) }

// tryExtend extends a delivery by a minute if the queue can.
func (b *bench) tryExtend(d drivers.Delivery) []error {
	if b.caps.MaxExtension <= 0 {
		return nil
	}
	return b.src.Extend(b.ctx, []drivers.Extension{{Receipt: d.Receipt, By: time.Minute}})
}

// exhaust gives the queue's only message back until it comes no more, and
// returns how often it came.
func (b *bench) exhaust(giveBack func(drivers.Delivery)) int {
	for n := 0; n <= b.o.MaxAttempts; n++ {
		var ds []drivers.Delivery
		// A provider may need a moment to bring it back, and another receive to
		// notice that it has come too often.
		for begin := b.now(); len(ds) == 0 && b.since(begin) < 3*time.Second; {
			ds = b.poll(b.src, 1, time.Second)
		}
		if len(ds) == 0 {
			return n
		}
		giveBack(ds[0])
	}
	b.fatalf("the message was delivered more than %d times and is still not in the dead-letter queue", b.o.MaxAttempts)
	return 0
}

func (b *bench) releaseIt(d drivers.Delivery) { b.settle(release(d)) }

// twice receives one message twice: the first delivery's lease has ended.
func (b *bench) twice() (lost, held drivers.Delivery) {
	b.needsLease()
	b.send(b.single("twice"))
	lost = b.receiveOne()
	b.expire(lost)
	return lost, b.receiveOne()
}

// inOrder receives and acks n messages and returns their bodies as they came.
func (b *bench) inOrder(n int) []string {
	var came []string
	for begin := b.now(); len(came) < n; {
		if b.since(begin) > b.patience() {
			b.fatalf("%d of %d messages came: %q", len(came), n, came)
		}
		for _, d := range b.poll(b.src, 3, time.Second) {
			came = append(came, string(d.Message.Body))
			b.settle(ack(d))
		}
	}
	return came
}

// strangers are messages with and without a dedupe ID of the sender's.
func (b *bench) strangers() []*handler.Message {
	with, without := b.single("with"), b.single("without")
	with.DedupeID, without.DedupeID = "order-42", ""
	return messages(with, without)
}

// identities returns the identities of deliveries by their bodies, and checks the
// sender's.
func (b *bench) identities(ds []drivers.Delivery) map[string]string {
	out := make(map[string]string, len(ds))
	for _, d := range ds {
		out[string(d.Message.Body)] = identityOf(d.Message)
	}
	require.Equal(b, "order-42", out["with"], "the sender's dedupe ID")
	require.NotEmpty(b, out["without"])
	return out
}

func (b *bench) inspector() drivers.Inspector {
	i, ok := b.src.(drivers.Inspector)
	b.needs(ok, "the source is not an Inspector")
	return i
}

// depthIs waits until the depth is want; counts are approximate on some
// providers, and late. Unknown is right for any count.
func (b *bench) depthIs(want drivers.Depth) {
	i := b.inspector()
	fits := func(got, want int64) bool { return got == want || got == drivers.Unknown }
	var d drivers.Depth
	for begin := b.now(); b.since(begin) < b.patience(); b.pass(200 * time.Millisecond) {
		var err error
		d, err = i.Depth(b.ctx)
		if err != nil {
			b.fatalf("depth: %v", err)
		}
		if fits(d.Visible, want.Visible) && fits(d.InFlight, want.InFlight) && fits(d.Delayed, want.Delayed) && fits(d.DeadLetters, want.DeadLetters) {
			return
		}
	}
	b.fatalf("the depth is %+v; it must be %+v", d, want)
}

func (b *bench) peek(n int, dead bool) []*handler.Message {
	i := b.inspector()
	var ms []*handler.Message
	for begin := b.now(); len(ms) == 0 && b.since(begin) < b.patience(); {
		var err error
		if ms, err = i.Peek(b.ctx, n, dead); err != nil {
			b.fatalf("peek: %v", err)
		}
		if len(ms) == 0 {
			b.pass(100 * time.Millisecond)
		}
	}
	return ms
}

func (b *bench) purger() drivers.Purger {
	p, ok := b.src.(drivers.Purger)
	b.needs(ok, "the source is not a Purger")
	return p
}

// mustStillWait gives a receive the time to get going, and fails if it ends.
func (b *bench) mustStillWait(out <-chan received) {
	select {
	case r := <-out:
		b.fatalf("a receive that was to wait ended at once: %s, %v", names(r.ds), r.err)
	case <-time.After(300 * time.Millisecond):
	}
}

func (b *bench) mustEndWith(out <-chan received, want error) {
	select {
	case r := <-out:
		require.ErrorIs(b.check, r.err, want)
		require.Equal(b.check, drivers.Unclassified, drivers.CodeOf(r.err), "a context's error has no code: %v", r.err)
		require.Empty(b.check, r.ds)
	case <-time.After(drivers.MaxWait / 2):
		b.fatalf("the receive did not return when its context had ended")
	}
}

func (b *bench) redriver() deadletter.Redriver {
	r, ok := b.src.(deadletter.Redriver)
	b.needs(ok && b.caps.NativeRedrive, "the provider does not redrive by itself")
	return r
}

// rejected sends and rejects n messages.
func (b *bench) rejected(n int) {
	b.sendN(n)
	for _, d := range b.receive(n) {
		b.settle(reject(d, "poison"))
	}
}

// peekLetters waits for the dead letters and gives them back.
func (b *bench) peekLetters() []drivers.Delivery {
	letters := b.letters()
	ds := letters.receive(1)
	letters.settle(each(ds, release)...)
	return ds
}

// failure reads why a letter was rejected.
func (b *bench) failure(m *handler.Message) drivers.DeadLetter {
	d, ok := drivers.ParseFailure(m.Attributes)
	if !ok {
		b.fatalf("the letter does not tell why it was rejected; its attributes are %q", m.Attributes)
	}
	return d
}
