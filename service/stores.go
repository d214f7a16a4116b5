package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

const (
	// cleanupEvery is how often expired keys are removed from a SQL store, cleanupLimit
	// how many by one statement, and cleanupTimeout how long that may take: a line that has
	// died says nothing.
	cleanupEvery   = 10 * time.Minute
	cleanupLimit   = 1000
	cleanupTimeout = time.Minute
)

// stores are the idempotency stores of a service. Each is opened once, however many
// queues name it.
type stores struct {
	open func(ctx context.Context, url string) (*opened.Store, error)
	log  *slog.Logger

	byURL map[string]*opened.Store
	ctx   context.Context // of the cleanup, which end ends
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// get returns the store of a URL. ctx bounds the opening; the store's cleanup ends with
// close.
func (s *stores) get(ctx context.Context, url string) (*opened.Store, error) {
	if store, ok := s.byURL[url]; ok {
		return store, nil
	}
	if s.open == nil {
		return nil, &usageError{errors.New("the program opens no idempotency stores: set service.Options.OpenStore")}
	}
	store, err := s.open(ctx, url)
	if err != nil {
		return nil, err
	}
	if s.byURL == nil {
		s.byURL = make(map[string]*opened.Store)
	}
	s.byURL[url] = store
	if store.SQL != nil {
		if s.end == nil {
			s.ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
		}
		s.tasks.Go(func() { s.sweep(s.ctx, store.SQL) })
	}
	return store, nil
}

// sweep removes expired keys now and then, until ctx is done.
func (s *stores) sweep(ctx context.Context, store *sqlstore.Store) {
	tick := time.NewTicker(cleanupEvery)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, cleanupTimeout)
		n, err := store.Cleanup(asked, cleanupLimit)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("expired idempotency keys were not removed", "store", store.String(), "error", err)
		}
		if err == nil && n == cleanupLimit {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// close ends the cleanup and closes the stores.
func (s *stores) close() error {
	if s.end != nil {
		s.end()
		s.tasks.Wait()
	}
	var faults []error
	for _, store := range s.byURL {
		if err := store.Close(); err != nil {
			faults = append(faults, fmt.Errorf("close the idempotency store %s: %w", store, err))
		}
	}
	return errors.Join(faults...)
}
