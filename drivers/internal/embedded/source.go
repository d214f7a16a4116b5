package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/queue"
)

// Source receives from a queue. It implements [drivers.Source],
// [drivers.Inspector], [drivers.Purger], [deadletter.Redriver] and
// [deadletter.Opener].
type Source struct {
	*opened
	closing context.Context //nolint:containedctx // ends when the source is closed
	end     context.CancelFunc
	buffers sync.Pool // *[]queue.Received
}

var (
	_ drivers.Source      = (*Source)(nil)
	_ drivers.Inspector   = (*Source)(nil)
	_ drivers.Purger      = (*Source)(nil)
	_ deadletter.Redriver = (*Source)(nil)
	_ deadletter.Opener   = (*Source)(nil)
	_ deadletter.Writer   = (*Source)(nil)
)

// Receive returns messages as [drivers.Source] requires. From an ordered queue
// it takes one message of each group before a second one of any.
func (s *Source) Receive(ctx context.Context, n int, wait time.Duration) ([]drivers.Delivery, error) {
	if err := s.usable(ctx, "receive"); err != nil {
		return nil, err
	}
	buffer, _ := s.buffers.Get().(*[]queue.Received)
	if buffer == nil {
		buffer = new([]queue.Received)
	}
	defer s.buffers.Put(buffer)
	r := queue.ReceiveRequest{Max: n, Visibility: -1, Spread: true, Into: *buffer}
	// While there are messages nothing needs to end with the source.
	got, err := s.Engine.Receive(ctx, s.Queue, r)
	if err == nil && len(got) == 0 && wait > 0 {
		r.Wait = wait
		got, err = s.await(ctx, r)
	}
	if err != nil {
		return nil, s.fail(ctx, "receive", err)
	}
	if len(got) == 0 {
		return nil, nil
	}
	ms := make([]handler.Message, len(got))
	out := make([]drivers.Delivery, len(got))
	var limits limits
	for i := range got {
		fill(&ms[i], &got[i].Message, limits.of(ctx, s, &got[i].Message))
		out[i] = drivers.Delivery{Message: &ms[i], Receipt: got[i].Receipt, Deadline: got[i].Deadline}
	}
	clear(got) // so that it does not keep bodies alive
	*buffer = got
	return out, nil
}

func (s *Source) await(ctx context.Context, r queue.ReceiveRequest) ([]queue.Received, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	return s.Engine.Receive(ctx, s.Queue, r)
}

// fill makes a portable message of the engine's. A letter that the engine
// dead-lettered by its receive count has the name of its queue and no reason,
// because no handler failed it; attempts is how often it was received there, 0 if that is
// not known.
func fill(m *handler.Message, from *queue.Message, attempts int) {
	m.ID, m.Body, m.Attributes = from.ID, from.Body, from.Attributes
	m.Group, m.DedupeID = from.Group, from.DedupeID
	m.Attempt, m.EnqueuedAt = from.Receives, from.EnqueuedAt
	drivers.UnpackFailure(m.Attributes) // one that came here from a provider with less room
	if from.Source == "" {
		return
	}
	if from.Exhausted {
		m.Attributes = drivers.WithoutFailure(m.Attributes) // of its life before a redrive
	}
	if _, rejected := drivers.ParseFailure(m.Attributes); !rejected {
		m.SetAttribute(drivers.AttributeDeadLetterQueue, from.Source)
		if attempts > 0 {
			m.SetAttribute(drivers.AttributeDeadLetterAttempt, strconv.Itoa(attempts))
		}
	}
}

// limits are the most attempts of queues, by name, as they were read for one call.
type limits map[string]int

// of returns how often a letter of s was received in the queue that it came from: as often
// as that queue allows, if its receives were used up. Otherwise it returns 0.
func (l *limits) of(ctx context.Context, s *Source, letter *queue.Message) int {
	if letter.Source == "" || !letter.Exhausted {
		return 0
	}
	n, known := (*l)[letter.Source]
	if !known {
		if c, _, err := s.Engine.Config(ctx, letter.Source); err == nil { // the queue may be gone
			n = c.MaxReceives
		}
		if *l == nil {
			*l = make(limits)
		}
		(*l)[letter.Source] = n
	}
	return n
}

// Settle carries out settlements: acks and drops are deleted, delayed retries
// hidden until then, rejections moved to the dead-letter queue in one step. A
// retry without a delay is left to the end of its lease. One that was released
// does not count as an attempt.
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	if len(ss) == 0 {
		return nil
	}
	if err := s.usable(ctx, "settle"); err != nil {
		return slices.Repeat([]error{err}, len(ss))
	}
	b := settling{n: len(ss)}
	var deletes []string
	var changes []queue.Change
	var rejections []queue.Rejection
	var deleted, changed, rejected []int // the settlements' indices
	for i := range ss {
		t := &ss[i]
		switch t.Action {
		case handler.ActionAck, handler.ActionDrop:
			if deletes == nil {
				deletes, deleted = make([]string, 0, len(ss)), make([]int, 0, len(ss))
			}
			deletes, deleted = append(deletes, t.Receipt), append(deleted, i)
		case handler.ActionDeadLetter:
			if t.Message == nil {
				b.set(i, &drivers.Error{Code: drivers.Invalid, Queue: s.Queue, Op: "settle", Err: errNoMessage})
				continue
			}
			rejections = append(rejections, queue.Rejection{
				Receipt: t.Receipt, Attributes: drivers.FailureAttributes(t.Failure, t.Message, s.Queue, 0),
			})
			rejected = append(rejected, i)
		case handler.ActionRetry:
			if !t.Delayed && !t.Released {
				continue // its lease runs down
			}
			change := queue.Change{Receipt: t.Receipt, By: t.Delay, Release: t.Released}
			if !t.Delayed {
				change.By = -1
			}
			changes, changed = append(changes, change), append(changed, i)
		default:
			b.set(i, &drivers.Error{Code: drivers.Invalid, Queue: s.Queue, Op: "settle", Err: errUnknownAction})
		}
	}
	if len(deletes) > 0 {
		b.put(ctx, s, deleted, s.Engine.Delete(ctx, s.Queue, deletes))
	}
	if len(changes) > 0 {
		b.put(ctx, s, changed, s.Engine.Change(ctx, s.Queue, changes))
	}
	if len(rejections) > 0 {
		b.put(ctx, s, rejected, s.Engine.Reject(ctx, s.Queue, rejections))
	}
	return b.errs
}

// Extend sets leases.
func (s *Source) Extend(ctx context.Context, es []drivers.Extension) []error {
	if len(es) == 0 {
		return nil
	}
	if err := s.usable(ctx, "extend"); err != nil {
		return slices.Repeat([]error{err}, len(es))
	}
	changes := make([]queue.Change, len(es))
	for i, e := range es {
		changes[i] = queue.Change{Receipt: e.Receipt, By: e.By}
	}
	errs := s.Engine.Change(ctx, s.Queue, changes)
	for i, err := range errs {
		errs[i] = s.fail(ctx, "extend", err)
	}
	return errs
}

// Capabilities returns the capabilities of the queue when it was opened.
func (s *Source) Capabilities() drivers.Capabilities {
	c := s.capabilities()
	c.Lease, c.FreeRelease, c.LocalClock = s.config.Visibility, true, true
	return c
}

// Close closes the source. Receives that wait return.
func (s *Source) Close() error {
	err := s.close()
	s.end()
	return err
}

// Depth counts the queue's messages, exactly.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	if err := s.usable(ctx, "depth"); err != nil {
		return drivers.Depth{}, err
	}
	stats, err := s.Engine.Stats(ctx, s.Queue)
	if err != nil {
		return drivers.Depth{}, s.fail(ctx, "depth", err)
	}
	d := drivers.Depth{Visible: stats.Visible, InFlight: stats.InFlight, Delayed: stats.Delayed, DeadLetters: drivers.Unknown}
	d.OldestAge = stats.OldestAge
	if s.config.DeadLetter == "" {
		return d, nil
	}
	letters, err := s.Engine.Stats(ctx, s.config.DeadLetter)
	if err != nil {
		return d, s.fail(ctx, "depth", err)
	}
	d.DeadLetters = letters.Visible + letters.InFlight + letters.Delayed
	d.LetterAge = letters.OldestAge
	config, _, err := s.Engine.Config(ctx, s.config.DeadLetter)
	if err != nil {
		return d, s.fail(ctx, "depth", err)
	}
	d.LetterRetention = config.Retention
	return d, nil
}

// which is the queue itself, or its dead-letter queue.
func (s *Source) which(op string, dead bool) (string, error) {
	switch {
	case !dead:
		return s.Queue, nil
	case s.config.DeadLetter == "":
		return "", s.fail(context.Background(), op, queue.ErrNoDeadLetter)
	}
	return s.config.DeadLetter, nil
}

// Peek returns messages from the front, in any state, and changes nothing.
func (s *Source) Peek(ctx context.Context, n int, dead bool) ([]*handler.Message, error) {
	if err := s.usable(ctx, "peek"); err != nil {
		return nil, err
	}
	name, err := s.which("peek", dead)
	if err != nil {
		return nil, err
	}
	got, err := s.Engine.Peek(ctx, name, n)
	if err != nil {
		return nil, s.fail(ctx, "peek", err)
	}
	out := make([]*handler.Message, len(got))
	var limits limits
	for i := range got {
		out[i] = &handler.Message{}
		fill(out[i], &got[i], limits.of(ctx, s, &got[i]))
	}
	return out, nil
}

// Purge removes every message of the queue, or of its dead-letter queue.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	if err := s.usable(ctx, "purge"); err != nil {
		return err
	}
	name, err := s.which("purge", dead)
	if err != nil {
		return err
	}
	return s.fail(ctx, "purge", s.Engine.Purge(ctx, name))
}

// StartRedrive starts moving every letter back to this queue. It fails if other
// queues share the dead-letter queue, because it would move their letters too.
func (s *Source) StartRedrive(ctx context.Context, rate int) (deadletter.Task, error) {
	if err := s.usable(ctx, "redrive"); err != nil {
		return deadletter.Task{}, err
	}
	letters, err := s.which("redrive", true)
	if err != nil {
		return deadletter.Task{}, err
	}
	if err := s.unshared(ctx, letters); err != nil {
		return deadletter.Task{}, err
	}
	t, err := s.Engine.StartMove(ctx, letters, s.Queue, rate)
	if err != nil {
		return deadletter.Task{}, s.fail(ctx, "redrive", err)
	}
	return taskOf(t), nil
}

// unshared fails if another queue has the same dead-letter queue.
func (s *Source) unshared(ctx context.Context, letters string) error {
	names, err := s.Engine.List(ctx)
	if err != nil {
		return s.fail(ctx, "redrive", err)
	}
	for _, name := range names {
		if name == s.Queue {
			continue
		}
		c, _, err := s.Engine.Config(ctx, name)
		if err == nil && c.DeadLetter == letters {
			return &drivers.Error{
				Code: drivers.Invalid, Queue: s.Queue, Op: "redrive",
				Err:    fmt.Errorf("the dead-letter queue %q also serves the queue %q, whose letters would be moved too", letters, name),
				Remedy: "redrive by origin: select the letters whose source is " + s.Queue,
			}
		}
	}
	return nil
}

// Redrives lists the latest tasks on the dead-letter queue.
func (s *Source) Redrives(ctx context.Context) ([]deadletter.Task, error) {
	if err := s.usable(ctx, "redrive"); err != nil {
		return nil, err
	}
	letters, err := s.which("redrive", true)
	if err != nil {
		return nil, err
	}
	ts, err := s.Engine.Moves(ctx, letters)
	if err != nil {
		return nil, s.fail(ctx, "redrive", err)
	}
	out := make([]deadletter.Task, len(ts))
	for i, t := range ts {
		out[i] = taskOf(t)
	}
	return out, nil
}

// CancelRedrive stops a running task.
func (s *Source) CancelRedrive(ctx context.Context, id string) error {
	if err := s.usable(ctx, "redrive"); err != nil {
		return err
	}
	_, err := s.Engine.CancelMove(ctx, id)
	return s.fail(ctx, "redrive", err)
}

// OpenDeadLetters opens the dead-letter queue for receiving.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	if err := s.usable(ctx, "open dead letters"); err != nil {
		return nil, err
	}
	letters, err := s.which("open dead letters", true)
	if err != nil {
		return nil, err
	}
	t := s.Target
	t.Queue, t.Release = letters, nil
	return t.OpenSource(ctx, nil)
}

// OpenDeadLetterSink opens the dead-letter queue for sending letters to it. A letter is not
// a duplicate of one that was there.
func (s *Source) OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error) {
	const op = "open dead letters"
	if err := s.usable(ctx, op); err != nil {
		return nil, err
	}
	letters, err := s.which(op, true)
	if err != nil {
		return nil, err
	}
	t := s.Target
	t.Queue, t.Release = letters, nil
	return again(ctx, t)
}

// OpenRedrive opens the queue itself for sending letters back to it. A letter
// is not a duplicate of the message that it was.
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	if err := s.usable(ctx, "open redrive"); err != nil {
		return nil, err
	}
	t := s.Target
	t.Release = nil
	return again(ctx, t)
}

// again opens a queue for letters that are sent to it: none of them is a duplicate of the
// message that it was.
func again(ctx context.Context, t Target) (drivers.Sink, error) {
	sink, err := t.OpenSink(ctx, nil)
	if err != nil {
		return nil, err
	}
	sink.redrive = true
	return sink, nil
}
