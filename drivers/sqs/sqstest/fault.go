package sqstest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault makes requests fail or wait. The first fields select requests, the
// others define what happens to them. A Fault that does nothing only counts.
type Fault struct {
	// Action is the SQS action that it strikes, such as "ReceiveMessage". Empty
	// means all of them.
	Action string
	// Queue is the name of the queue that it strikes. Empty means all.
	Queue string
	// Match narrows it further. It must not keep the Request. Nil means all.
	Match func(*Request) bool
	// Skip lets that many of the requests that match through first.
	Skip int
	// Times is how often it strikes. Zero means until it is removed.
	Times int
	// Probability is how likely it strikes, by Config.Seed. Zero means always.
	Probability float64

	// Delay makes the request wait, by Config.Clock, before anything else
	// happens to it.
	Delay time.Duration
	// Refuse closes the connection without an answer and without doing the
	// work.
	Refuse bool
	// Code is the error that the client gets instead of the work, by the
	// name of its shape: "RequestThrottled", "InternalFailure",
	// "AccessDeniedException" or any other.
	Code string
	// Message is the error's text. Empty means the usual one of the Code.
	Message string
	// Status is the error's HTTP status. Zero means the usual one of the Code.
	Status int
	// Entries makes Code ("InternalFailure" if that is empty) the result of
	// those entries of a batch for whose Id it returns true. The others go
	// through. Requests other than batches are not struck. Nil means that Code
	// is the result of the whole request.
	Entries func(id string) bool
	// DropResponse does the work and then closes the connection without an
	// answer, as when the network fails on the way back.
	DropResponse bool
}

// An Injection is a Fault that was injected. Its methods may be called
// concurrently.
type Injection struct {
	fault   Fault
	set     *faultSet
	matched int // under set.mu
	hits    atomic.Int64
}

// Hits returns how often the fault has struck, so that a test can show that the
// failure it is about did happen.
func (i *Injection) Hits() int { return int(i.hits.Load()) }

// Remove takes the fault away. Removing it twice does nothing.
func (i *Injection) Remove() { i.set.remove(i) }

type faultSet struct {
	active atomic.Int32 // how many there are, to spare requests the lock
	mu     sync.Mutex
	list   []*Injection
	random *rand.Rand
	denied func(*Request) string // the text of AccessDenied
}

func (f *faultSet) add(i *Injection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, i)
	f.active.Store(int32(len(f.list))) // nobody injects two thousand million faults
}

func (f *faultSet) remove(i *Injection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(j *Injection) bool { return j == i })
	f.active.Store(int32(len(f.list))) // as above
}

func (f *faultSet) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
	f.active.Store(0)
}

// An effect is what the faults do to one request.
type effect struct {
	delay   time.Duration
	refuse  bool
	drop    bool
	err     *apiError
	entries []*Fault
}

// strike asks every fault about a request.
func (f *faultSet) strike(q *Request) effect {
	var e effect
	if f.active.Load() == 0 {
		return e
	}
	f.mu.Lock()
	list := slices.Clone(f.list)
	f.mu.Unlock()
	for _, i := range list {
		// Match is the caller's and may inject or remove faults: no lock here.
		if !i.fault.matches(q) || !f.due(i) {
			continue
		}
		e.delay += i.fault.Delay
		e.drop = e.drop || i.fault.DropResponse
		switch {
		case i.fault.Entries != nil:
			e.entries = append(e.entries, &i.fault)
		case i.fault.Refuse:
			e.refuse = true
			return e
		case i.fault.Code != "":
			e.err = i.fault.error()
			if i.fault.Message == "" && i.fault.Code == codeAccessDenied {
				e.err.message = f.denied(q)
			}
			return e
		}
	}
	return e
}

func (f *Fault) matches(q *Request) bool {
	return (f.Action == "" || f.Action == q.Action) &&
		(f.Queue == "" || f.Queue == q.Queue) &&
		(f.Entries == nil || q.Entries > 0) &&
		(f.Match == nil || f.Match(q))
}

// due counts a request that matches, says whether the fault strikes it, and
// counts that too.
func (f *faultSet) due(i *Injection) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i.fault.Times > 0 && i.Hits() >= i.fault.Times {
		return false
	}
	if i.matched++; i.matched <= i.fault.Skip {
		return false
	}
	if i.fault.Probability > 0 && f.random.Float64() >= i.fault.Probability {
		return false
	}
	i.hits.Add(1)
	return true
}

func (f *Fault) error() *apiError {
	code := f.Code
	if code == "" {
		code = codeInternalFailure
	}
	e := plain(code)
	e.status = f.Status
	if f.Message != "" {
		e.message = f.Message
	}
	return e
}

// entryError returns the result that faults give an entry of a batch, or nil.
func (e *effect) entryError(id string) *apiError {
	for _, f := range e.entries {
		if f.Entries(id) {
			return f.error()
		}
	}
	return nil
}
