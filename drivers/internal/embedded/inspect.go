package embedded

import (
	"context"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/queue"
)

// Depth counts the queue's messages, exactly.
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	if err := s.usable(ctx, "depth"); err != nil {
		return drivers.Depth{}, err
	}
	stats, err := s.Engine.Stats(ctx, s.Queue)
	if err != nil {
		return drivers.Depth{}, s.fail(ctx, "depth", err)
	}
	d := drivers.Depth{Visible: stats.Visible, InFlight: stats.InFlight, Delayed: stats.Delayed, DeadLetters: drivers.Unknown}
	d.OldestAge = stats.OldestAge
	if s.config.DeadLetter == "" {
		return d, nil
	}
	letters, err := s.Engine.Stats(ctx, s.config.DeadLetter)
	if err != nil {
		return d, s.fail(ctx, "depth", err)
	}
	d.DeadLetters = letters.Visible + letters.InFlight + letters.Delayed
	return d, nil
}

// which is the queue itself, or its dead-letter queue.
func (s *Source) which(op string, dead bool) (string, error) {
	switch {
	case !dead:
		return s.Queue, nil
	case s.config.DeadLetter == "":
		return "", s.fail(context.Background(), op, queue.ErrNoDeadLetter)
	}
	return s.config.DeadLetter, nil
}

// Peek returns messages from the front, in any state, and changes nothing.
func (s *Source) Peek(ctx context.Context, n int, dead bool) ([]*handler.Message, error) {
	if err := s.usable(ctx, "peek"); err != nil {
		return nil, err
	}
	name, err := s.which("peek", dead)
	if err != nil {
		return nil, err
	}
	got, err := s.Engine.Peek(ctx, name, n)
	if err != nil {
		return nil, s.fail(ctx, "peek", err)
	}
	out := make([]*handler.Message, len(got))
	for i := range got {
		out[i] = &handler.Message{}
		fill(out[i], &got[i])
	}
	return out, nil
}

// Purge removes every message of the queue, or of its dead-letter queue.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	if err := s.usable(ctx, "purge"); err != nil {
		return err
	}
	name, err := s.which("purge", dead)
	if err != nil {
		return err
	}
	return s.fail(ctx, "purge", s.Engine.Purge(ctx, name))
}
