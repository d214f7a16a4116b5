package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// reopenEvery is how often a program that stays up tries to open the queues that it could
// not open when it started.
const reopenEvery = 10 * time.Second

// late opens queues that could not be opened when the program started, so that one queue
// that is away keeps no other from being reported.
type late struct {
	log   *slog.Logger
	every time.Duration
	// open opens a queue and takes it on. The function that it returns gives it up.
	open func(ctx context.Context, name string) (end func() error, err error)
}

// start goes on until the returned function is called, or until all are open. That
// function gives up what was opened.
func (l *late) start(ctx context.Context, names []string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		group sync.WaitGroup
		ends  []func() error
	)
	group.Go(func() {
		tick := time.NewTicker(l.every)
		defer tick.Stop()
		for len(names) > 0 {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var missing []string
			for _, name := range names {
				end, err := l.open(ctx, name)
				if err != nil {
					l.log.Debug("the queue cannot be opened yet", "queue", name, "error", err)
					missing = append(missing, name)
					continue
				}
				l.log.Info("the queue is there now", "queue", name)
				ends = append(ends, end)
			}
			names = missing
		}
	})
	return func() error {
		cancel()
		group.Wait()
		var faults []error
		for _, end := range ends {
			faults = append(faults, end())
		}
		return errors.Join(faults...)
	}
}
