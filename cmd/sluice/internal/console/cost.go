package console

import (
	"context"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

// A cost is what a look at letters does to them.
type cost struct {
	// Free is true if letters are read without being received.
	Free bool
	// Queue is the dead-letter queue. Lacks says why there are no letters to look at.
	Queue, Lacks string
	// Attempts is how many deliveries the dead-letter queue allows before it moves a
	// letter to a dead-letter queue of its own; 0 means no limit.
	Attempts int

	// Risky is true if a look may well move letters away.
	Risky bool

	at time.Time // when it was asked for
}

// costOf opens a queue and returns what a look at its letters costs, as it was within
// detailsAge: pages ask for it, and a page may be refreshed every second.
func costOf(ctx context.Context, q *watched) (cost, error) {
	q.mu.Lock()
	c := q.cost
	q.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < detailsAge {
		return c, nil
	}
	c, err := askCost(ctx, q)
	if err != nil {
		return cost{}, err
	}
	c.at = time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cost = c
	return c, nil
}

// askCost asks the provider what a look costs.
func askCost(ctx context.Context, q *watched) (cost, error) {
	if q.queue.Source == "" {
		return cost{Lacks: "The configuration has no URL to receive from."}, nil
	}
	s, err := q.open(ctx)
	if err != nil {
		return cost{}, err
	}
	caps := s.Capabilities()
	c := cost{Free: caps.FreeRelease, Queue: caps.DeadLetterQueue}
	if w, ok := s.(drivers.Watcher); ok {
		c.Queue = w.Current().DeadLetterQueue
	}
	if c.Queue == "" {
		return cost{Lacks: "The queue has no dead-letter queue."}, nil
	}
	if opener, ok := s.(deadletter.Opener); ok && !c.Free {
		dead, err := opener.OpenDeadLetters(ctx)
		if err != nil {
			return cost{}, err
		}
		c.Attempts, c.Risky = deadletter.LookAttempts(dead.Capabilities())
		if err := dead.Close(); err != nil {
			return cost{}, err
		}
	}
	return c, nil
}
