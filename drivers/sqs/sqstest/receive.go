package sqstest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// A nameSet is the system attributes that a receive asks for.
type nameSet uint16

const (
	sysSender nameSet = 1 << iota
	sysSent
	sysReceives
	sysFirstReceived
	sysSequence
	sysDedupe
	sysGroup
	sysTrace
	sysSource

	sysAll = sysSource<<1 - 1
)

func systemNames(names []string) (nameSet, *apiError) {
	var set nameSet
	for _, name := range names {
		switch name {
		case attrAll:
			set |= sysAll
		case "SenderId":
			set |= sysSender
		case "SentTimestamp":
			set |= sysSent
		case "ApproximateReceiveCount":
			set |= sysReceives
		case "ApproximateFirstReceiveTimestamp":
			set |= sysFirstReceived
		case "SequenceNumber":
			set |= sysSequence
		case "MessageDeduplicationId":
			set |= sysDedupe
		case "MessageGroupId":
			set |= sysGroup
		case traceHeaderName:
			set |= sysTrace
		case "DeadLetterQueueSourceArn":
			set |= sysSource
		default:
			// The type of AttributeNames in the SDKs lists the queue's attributes
			// too; a message has none of them.
			if _, ok := ruleOf(name); !ok {
				return 0, unknownAttribute(name)
			}
		}
	}
	return set, nil
}

// A nameFilter is the message attributes that a receive asks for.
type nameFilter struct {
	all      bool
	exact    []string
	prefixes []string
}

func newNameFilter(names []string) nameFilter {
	var f nameFilter
	for _, name := range names {
		prefix, wild := strings.CutSuffix(name, ".*")
		switch {
		case name == attrAll || name == ".*" || name == "*":
			f.all = true
		case wild:
			f.prefixes = append(f.prefixes, prefix)
		default:
			f.exact = append(f.exact, name)
		}
	}
	return f
}

func (f *nameFilter) none() bool { return !f.all && len(f.exact) == 0 && len(f.prefixes) == 0 }

func (f *nameFilter) matches(name string) bool {
	return f.all || slices.Contains(f.exact, name) ||
		slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// inFlight is an upper bound of the messages of a queue that are in flight. The
// engine counts them only when the bound reaches the limit.
type inFlight struct {
	mu    sync.Mutex
	bound int64
}

// receiveActions receive messages.
type receiveActions struct {
	*registry
	attempts attempts
}

func (s *receiveActions) receiveMessage(c *call, q *receiveRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	r, err := receiveOf(found, q)
	if err != nil {
		return err
	}
	system, err := systemNames(q.system())
	if err != nil {
		return err
	}
	filter := newNameFilter(q.MessageAttributeNames)
	ctx := c.ctx
	if r.Wait > 0 {
		// A server that closes ends the poll.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.base, cancel)()
	}
	got, err := s.receive(ctx, found, r)
	if err != nil {
		return err
	}
	if len(got) == 0 {
		return nil
	}
	// All of one receive have one lease.
	received := got[0].Deadline.Add(-r.Visibility)
	if r.AttemptID != "" {
		received = s.attempts.received(found.name, r.AttemptID, got, received)
	}
	w := &c.out
	size := 64
	for i := range got {
		size += len(got[i].Body) + len(got[i].Extra) + 900
	}
	w.b = make([]byte, 0, size)
	w.open('{')
	w.key("Messages")
	w.open('[')
	for i := range got {
		s.writeMessage(w, found, &got[i], received, system, &filter)
	}
	w.close(']')
	w.close('}')
	return nil
}

// receiveOf checks the parameters and fills in the queue's own.
func receiveOf(found *settings, q *receiveRequest) (queue.ReceiveRequest, *apiError) {
	r := queue.ReceiveRequest{Max: 1, Wait: found.wait, Visibility: found.visibility}
	if q.MaxNumberOfMessages != nil {
		if r.Max = int(*q.MaxNumberOfMessages); r.Max < 1 || r.Max > maxEntries {
			return r, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and %d, if provided.", r.Max, maxEntries)
		}
	}
	if q.WaitTimeSeconds != nil {
		if int(*q.WaitTimeSeconds) < 0 || int(*q.WaitTimeSeconds) > maxWaitSeconds {
			return r, invalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= %d, if provided.", int(*q.WaitTimeSeconds), maxWaitSeconds)
		}
		r.Wait = time.Duration(int(*q.WaitTimeSeconds)) * time.Second
	}
	if q.VisibilityTimeout != nil {
		if err := checkVisibility(int(*q.VisibilityTimeout)); err != nil {
			return r, err
		}
		r.Visibility = time.Duration(int(*q.VisibilityTimeout)) * time.Second
	}
	if q.ReceiveRequestAttemptID != nil && *q.ReceiveRequestAttemptID != "" && found.fifo { // a standard queue takes no notice of it
		if err := checkID(*q.ReceiveRequestAttemptID, "ReceiveRequestAttemptId"); err != nil {
			return r, err
		}
		r.AttemptID = *q.ReceiveRequestAttemptID
	}
	return r, nil
}

// receive receives within the limit of messages in flight.
func (s *receiveActions) receive(ctx context.Context, q *settings, r queue.ReceiveRequest) ([]queue.Received, *apiError) {
	limit := int64(s.cfg.MaxInFlight)
	v, ok := s.inFlight.Load(q.name)
	if !ok {
		v, _ = s.inFlight.LoadOrStore(q.name, &inFlight{})
	}
	flight, ok := v.(*inFlight)
	if !ok {
		return nil, fault(codeInternalFailure, "the count of messages in flight is a %T", v)
	}
	until := s.cfg.Clock.Now().Add(r.Wait)
	for {
		free, err := s.reserve(ctx, q, flight, int64(r.Max), limit)
		if err != nil {
			return nil, err
		}
		if free > 0 {
			r.Max = int(free)
			got, bad := s.engine.Receive(ctx, q.name, r)
			flight.mu.Lock()
			flight.bound -= free - int64(len(got))
			flight.mu.Unlock()
			if bad != nil {
				return nil, s.gone(q.name, bad)
			}
			return got, nil
		}
		if r.Wait == 0 && !q.fifo {
			return nil, fault(codeOverLimit, "Too many messages in flight: the limit of %s is %d.", q.name, limit)
		}
		// A long poll at the limit finds nothing, unless there is room in time.
		left := until.Sub(s.cfg.Clock.Now())
		if left <= 0 {
			return nil, nil
		}
		r.Wait = left
		select {
		case <-s.cfg.Clock.After(min(left, time.Second)):
		case <-ctx.Done():
			return nil, engineError(ctx.Err())
		}
	}
}

// reserve takes up to wanted places in flight and returns how many it got.
func (s *receiveActions) reserve(ctx context.Context, q *settings, f *inFlight, wanted, limit int64) (int64, *apiError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bound+wanted > limit {
		stats, err := s.engine.Stats(ctx, q.name)
		if err != nil {
			return 0, s.gone(q.name, err)
		}
		f.bound = stats.InFlight
	}
	free := max(min(wanted, limit-f.bound), 0)
	f.bound += free
	return free, nil
}

func (s *receiveActions) writeMessage(w *writer, q *settings, m *queue.Received, received time.Time, system nameSet, filter *nameFilter) {
	h := receipt{queue: q.name, received: received, engine: m.Receipt}
	w.open('{')
	w.member("MessageId", m.ID)
	w.member("ReceiptHandle", h.encode())
	w.member("MD5OfBody", md5Of(m.Body))
	w.memberBytes("Body", m.Body)
	var e extra
	if system&(sysSender|sysTrace) != 0 || !filter.none() {
		e = extraOf(&m.Message)
	}
	if system != 0 {
		s.writeSystem(w, q, m, &e, system)
	}
	if !filter.none() {
		e.attributes = slices.DeleteFunc(e.attributes, func(a attribute) bool { return !filter.matches(a.name) })
		writeAttributes(w, e.attributes)
	}
	w.close('}')
}

func (s *receiveActions) writeSystem(w *writer, q *settings, m *queue.Received, e *extra, system nameSet) {
	begin := len(w.b)
	w.key("Attributes")
	w.open('{')
	empty := len(w.b)
	if system&sysSender != 0 && e.sender != "" {
		w.member("SenderId", e.sender)
	}
	if system&sysSent != 0 {
		w.memberQuoted("SentTimestamp", m.EnqueuedAt.UnixMilli())
	}
	if system&sysReceives != 0 {
		w.memberQuoted("ApproximateReceiveCount", int64(m.Receives))
	}
	if system&sysFirstReceived != 0 {
		w.memberQuoted("ApproximateFirstReceiveTimestamp", m.FirstReceived.UnixMilli())
	}
	if system&sysSequence != 0 && q.fifo {
		w.member("SequenceNumber", sequenceNumber(m.Sequence))
	}
	if system&sysDedupe != 0 && m.DedupeID != "" {
		w.member("MessageDeduplicationId", m.DedupeID)
	}
	if system&sysGroup != 0 && m.Group != "" {
		w.member("MessageGroupId", m.Group)
	}
	if system&sysTrace != 0 && e.trace != "" {
		w.member(traceHeaderName, e.trace)
	}
	if system&sysSource != 0 && m.Source != "" {
		w.member("DeadLetterQueueSourceArn", s.queueARN(m.Source))
	}
	if len(w.b) == empty {
		w.b = w.b[:begin] // the message has none of those that were asked for
		return
	}
	w.close('}')
}

func writeAttributes(w *writer, attributes []attribute) {
	if len(attributes) == 0 {
		return
	}
	w.member("MD5OfMessageAttributes", md5OfAttributes(attributes))
	w.key("MessageAttributes")
	w.open('{')
	for i := range attributes {
		a := &attributes[i]
		w.str(a.name)
		w.b = append(w.b, ':')
		w.open('{')
		w.member("DataType", a.dataType)
		if a.binary {
			w.memberBase64("BinaryValue", a.value)
		} else {
			w.memberBytes("StringValue", a.value)
		}
		w.close('}')
	}
	w.close('}')
}
