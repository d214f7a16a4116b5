package sqstest

import (
	"maps"
	"sync"
	"time"
)

// A Request is a request that the server got.
type Request struct {
	// At is when it arrived, by Config.Clock.
	At time.Time
	// Action is the SQS action, such as "ReceiveMessage".
	Action string
	// Queue is the name of the queue that it concerns, if any; for move tasks,
	// the source.
	Queue string
	// Entries is the number of entries of a batch; 0 for other requests.
	Entries int
	// AccessKeyID is the key that it was signed with; empty if it was not
	// signed.
	AccessKeyID string
	// Body is the request's JSON. It is set for Fault.Match only, and nil in
	// the results of Requests.
	Body []byte

	// Status is the answer's HTTP status; 0 if there was no answer because the
	// connection was closed or the client had gone.
	Status int
	// Code is the answer's error code, as the x-amzn-query-error header has it;
	// empty if there was no error.
	Code string
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

func (l *ledger) count(action string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if action != "" {
		return l.counts[action]
	}
	total := 0
	for _, n := range l.counts {
		total += n
	}
	return total
}

func (l *ledger) all() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.counts)
	l.recent, l.next = nil, 0
}

func (l *ledger) answeredLast() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, 0, len(l.recent))
	out = append(out, l.recent[l.next:]...)
	return append(out, l.recent[:l.next]...)
}
