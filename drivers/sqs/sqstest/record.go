package sqstest

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// A Request is a request that the server got.
type Request struct {
	// At is when it arrived, by Config.Clock.
	At time.Time
	// Action is the SQS action, such as "ReceiveMessage".
	Action string
	// Queue is the name of the queue it concerns, where it concerns one: for
	// the move tasks, the source.
	Queue string
	// Entries is the number of entries of a batch; 0 for what is no batch.
	Entries int
	// AccessKeyID is the key that it was signed with; empty where it was not
	// signed.
	AccessKeyID string
	// Body is the request's JSON. It is there for Fault.Match only, and nil in
	// what Requests returns.
	Body []byte

	// Status is the answer's HTTP status; 0 where there was no answer: the
	// connection was closed, or the client had gone.
	Status int
	// Code is the answer's error code, as the x-amzn-query-error header has it;
	// empty where there was no error.
	Code string
}

// deniedMessage is what IAM says when no policy allows an action.
func (s *Server) deniedMessage(q *Request) string {
	action := "sqs:" + strings.ToLower(q.Action)
	who := "anonymous"
	if q.AccessKeyID != "" {
		who = "arn:aws:iam::" + s.account + ":user/" + q.AccessKeyID
	}
	return "User: " + who + " is not authorized to perform: " + action + " on resource: " + s.QueueARN(q.Queue) +
		" because no identity-based policy allows the " + action + " action"
}

// A ledger counts requests and keeps the last ones.
type ledger struct {
	keep   int
	mu     sync.Mutex
	counts map[string]int
	recent []Request // a ring once it is full
	next   int
}

func (l *ledger) arrived(action string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[action]++
}

func (l *ledger) answered(q Request) {
	if l.keep == 0 {
		return
	}
	q.Body = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) < l.keep {
		l.recent = append(l.recent, q)
		return
	}
	l.recent[l.next] = q
	l.next = (l.next + 1) % l.keep
}

// Count returns how many requests of an action have arrived since the server
// started or ResetCounts was called: those that failed, and those that are being
// worked on, included. An empty action is all of them.
func (s *Server) Count(action string) int {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if action != "" {
		return s.ledger.counts[action]
	}
	total := 0
	for _, n := range s.ledger.counts {
		total += n
	}
	return total
}

// Counts returns what Count counts, by action.
func (s *Server) Counts() map[string]int {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return maps.Clone(s.ledger.counts)
}

// ResetCounts sets the counts to zero and forgets the requests.
func (s *Server) ResetCounts() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	clear(s.ledger.counts)
	s.ledger.recent, s.ledger.next = nil, 0
}

// Requests returns the last Config.KeepRequests requests that have been
// answered, in the order of their answers.
func (s *Server) Requests() []Request {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	out := make([]Request, 0, len(s.ledger.recent))
	out = append(out, s.ledger.recent[s.ledger.next:]...)
	return append(out, s.ledger.recent[:s.ledger.next]...)
}
