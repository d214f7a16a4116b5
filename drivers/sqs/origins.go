package sqs

import (
	"sync"
	"time"
)

const (
	// originTime bounds the request for a source queue's policy, for which one
	// receive waits. originAgain is the time between two requests if it fails.
	originTime  = 5 * time.Second
	originAgain = time.Minute
)

// origins are the queues from which SQS has dead-lettered messages to a queue.
//
// ApproximateReceiveCount continues in a dead-letter queue: with a maxReceiveCount
// of 5 it is 6 at the first receive there. Attempts are counted from the message's
// arrival, so the count that the source queue's policy allowed is subtracted. If
// that policy can't be read, the lowest count seen on a letter from the source
// queue stands for a first attempt. This count also corrects a policy that has
// been changed since, and servers that begin a new count. Attempts are never
// overestimated: a worker on a dead-letter queue must not begin with attempts that
// are used up.
type origins struct {
	mu    sync.Mutex
	known map[string]*origin // by ARN
}

type origin struct {
	receives int       // before a message came here, as far as is known
	policy   bool      // the source queue's policy was read
	asked    time.Time // the latest request for it; zero before the first
	lowest   int       // receive count of a letter; 0 before the first letter
}

// due reports whether the caller must read the policy of the queue arn. It is true
// for one caller at a time; the others use what is known.
func (s *origins) due(arn string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[string]*origin)
	}
	o := s.known[arn]
	if o == nil {
		o = &origin{}
		s.known[arn] = o
	}
	now := time.Now()
	if o.policy || !o.asked.IsZero() && now.Sub(o.asked) < originAgain {
		return false
	}
	o.asked = now
	return true
}

// learn records the receives that the policy of the queue arn allows. due was called
// before.
func (s *origins) learn(arn string, receives int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[arn]
	o.policy, o.receives = true, receives
}

// attempt returns the attempt of a message from the queue arn that SQS has received
// count times.
func (s *origins) attempt(arn string, count int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[arn]
	if o == nil {
		return count // a message on its own, for which due was not called
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

// before returns how often a message from the queue arn was received there, as its policy
// says. It is 0 if the policy was not read, or if the counts that were seen contradict it.
func (s *origins) before(arn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[arn]
	if o == nil || !o.policy || o.lowest-1 < o.receives {
		return 0
	}
	return o.receives
}
