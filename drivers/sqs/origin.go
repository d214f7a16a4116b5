package sqs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// originTime bounds the request for a source queue's policy, for which one
	// receive waits, and originAgain is how long it waits to be repeated if it
	// failed.
	originTime  = 5 * time.Second
	originAgain = time.Minute
)

// origins are the queues that SQS has dead-lettered messages from to this one.
//
// ApproximateReceiveCount goes on in a dead-letter queue: with a maxReceiveCount
// of 5 it is 6 at the first receive there. Attempts are counted from the
// message's arrival, so what its source queue's policy allowed is subtracted. If
// the policy can't be read, the lowest count that a letter of that queue had here
// stands for a first attempt. Such a count also corrects a policy that has been
// changed since, and servers that count anew. An attempt is never reported too
// high for lack of knowledge: a worker on a dead-letter queue must not begin with
// attempts that are used up.
type origins struct {
	mu    sync.Mutex
	known map[string]*origin // by ARN
}

type origin struct {
	receives int  // before a message came here, as far as is known
	policy   bool // the source queue's policy was read
	asked    time.Time
	lowest   int // receive count of a letter; 0 before there was one
}

// originOf is the ARN of the queue that SQS has dead-lettered the message from to
// this one, if it has.
func (q *queue) originOf(from *types.Message) string {
	if o := from.Attributes[sysOrigin]; o != q.arn {
		return o
	}
	return "" // it was redriven
}

// learn reads the policies of the queues that messages came from, each once.
func (q *queue) learn(ctx context.Context, op string, from []types.Message) {
	for i := range from {
		if o := q.originOf(&from[i]); o != "" {
			q.learnOrigin(ctx, op, o)
		}
	}
}

func (q *queue) learnOrigin(ctx context.Context, op, from string) {
	s := &q.origins
	s.mu.Lock()
	if s.known == nil {
		s.known = make(map[string]*origin)
	}
	o := s.known[from]
	if o == nil {
		o = &origin{}
		s.known[from] = o
	}
	now := time.Now()
	if o.policy || !o.asked.IsZero() && now.Sub(o.asked) < originAgain {
		s.mu.Unlock()
		return
	}
	o.asked = now // the others do with what there is
	s.mu.Unlock()

	receives, ok := q.allowed(ctx, op, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		o.policy, o.receives = true, receives
	}
}

// allowed returns how often a queue's policy lets a message be received before
// it comes to q. It is false if that cannot be read, or the policy sends messages
// somewhere else by now.
func (q *queue) allowed(ctx context.Context, op, from string) (int, bool) {
	if !arn.IsARN(from) {
		return 0, false
	}
	where, err := q.sibling(from)
	if err != nil {
		return 0, false
	}
	source := &queue{api: q.api, url: where, name: lastSegment(where)}
	rctx, cancel := within(ctx, originTime)
	defer cancel()
	as, err := source.attributes(rctx, op, types.QueueAttributeNameRedrivePolicy)
	if err != nil || as[attrRedrive] == "" {
		return 0, false
	}
	p, err := parseRedrivePolicy(as[attrRedrive])
	if err != nil || p.target != q.arn {
		return 0, false
	}
	return p.maxReceives, true
}

// attempt is the attempt of a message that SQS has received so often, counted
// from when it came to this queue. It is 0 if SQS does not say.
func (q *queue) attempt(from *types.Message) int {
	n, err := strconv.ParseUint(from.Attributes[sysReceives], 10, 31)
	if err != nil {
		return 0
	}
	count := int(n)
	arn := q.originOf(from)
	if arn == "" || count == 0 {
		return count
	}
	s := &q.origins
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[arn]
	if o == nil {
		return count // nobody has asked: a message by itself
	}
	if o.lowest == 0 || count < o.lowest {
		o.lowest = count
	}
	before := o.lowest - 1
	if o.policy {
		before = min(before, o.receives)
	}
	return count - before
}
