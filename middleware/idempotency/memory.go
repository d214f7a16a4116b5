package idempotency

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// NewMemory returns a [Store] in this process's memory: for tests, for a single
// process, and for effects that do not outlive it.
func NewMemory() Store { return &memory{entries: make(map[string]*entry)} }

type memory struct {
	mu      sync.Mutex
	entries map[string]*entry
	expiry  expiryHeap
}

type entry struct {
	key, token string
	done       bool
	result     []byte
	expires    time.Time
	index      int
}

// Claim implements [Store].
func (s *memory) Claim(_ context.Context, key, token string, ttl time.Duration) (Claim, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	e := s.entries[key]
	switch {
	case e == nil:
		e = &entry{key: key, token: token, expires: now.Add(ttl)}
		s.entries[key] = e
		heap.Push(&s.expiry, e)
		return Claim{State: Claimed}, nil
	case now.Before(e.expires) && e.done:
		return Claim{State: Done, Result: e.result}, nil
	case now.Before(e.expires) && e.token != token:
		return Claim{State: InProgress, Remaining: e.expires.Sub(now)}, nil
	}
	e.token, e.done, e.result = token, false, nil
	s.expire(e, now.Add(ttl))
	return Claim{State: Claimed}, nil
}

// Renew implements [Store].
func (s *memory) Renew(_ context.Context, key, token string, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil || e.done || e.token != token {
		return ErrClaimLost
	}
	s.expire(e, time.Now().Add(ttl))
	return nil
}

// Complete implements [Store].
func (s *memory) Complete(_ context.Context, key, token string, result []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil || e.token != token {
		return ErrClaimLost
	}
	if !e.done {
		e.done, e.result = true, append([]byte(nil), result...)
		s.expire(e, time.Now().Add(ttl))
	}
	return nil
}

// Release implements [Store].
func (s *memory) Release(_ context.Context, key, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil && e.token == token && !e.done {
		s.remove(e)
	}
	return nil
}

// grace keeps an expired claim for its owner's late mark, as long as nobody
// takes it over.
const grace = time.Minute

// sweep removes a few entries that ended long ago, so that each call pays for
// about what it adds.
func (s *memory) sweep(now time.Time) {
	for range 2 {
		if len(s.expiry) == 0 || now.Before(s.expiry[0].expires.Add(grace)) {
			return
		}
		s.remove(s.expiry[0])
	}
}

func (s *memory) expire(e *entry, at time.Time) {
	e.expires = at
	heap.Fix(&s.expiry, e.index)
}

func (s *memory) remove(e *entry) {
	heap.Remove(&s.expiry, e.index)
	delete(s.entries, e.key)
}

// expiryHeap has the entry that expires first in front.
type expiryHeap []*entry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiryHeap) Push(x any) {
	e := x.(*entry) //nolint:forcetypeassert // only entries are pushed
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
