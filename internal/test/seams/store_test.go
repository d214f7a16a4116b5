package seams

import (
	"context"
	"errors"
	"time"

	cenkalti "github.com/cenkalti/backoff/v4"

	"github.com/sluice-go/sluice/middleware/idempotency"
)

var errStore = errors.New("the store is out of reach")

// store is a worker's way to the idempotency store that all share.
type store struct {
	idempotency.Store
	w      *world
	worker *worker
}

// reach is the way there.
func (s *store) reach() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.worker.killed || s.w.storeDown {
		return errStore
	}
	return nil
}

func (s *store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	if err := s.reach(); err != nil {
		return idempotency.Claim{}, err
	}
	c, err := s.Store.Claim(ctx, key, token, ttl)
	if t := ticketOf(ctx); t != nil {
		s.w.locked(func() {
			s.w.note(t.m, "claim of %s: %v, remaining %v, %v", key, [...]string{"", "claimed", "in progress", "done"}[c.State], c.Remaining, err)
		})
	}
	return c, err
}

func (s *store) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	if err := s.reach(); err != nil {
		return err
	}
	return s.Store.Renew(ctx, key, token, ttl)
}

func (s *store) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	err := s.reach()
	if err == nil {
		err = s.Store.Complete(ctx, key, token, result, ttl)
	}
	if t := ticketOf(ctx); t != nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.note(t.m, "marked as done under %s: %v", key, err)
		t.r.marked, t.r.markFailed = err == nil, err != nil
	}
	return err
}

func (s *store) Release(ctx context.Context, key, token string) error {
	if err := s.reach(); err != nil {
		return err
	}
	return s.Store.Release(ctx, key, token)
}

// permanent is an error that need not be tried again.
func permanent(err error) error { return cenkalti.Permanent(err) }
