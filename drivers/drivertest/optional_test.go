package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// The optional interfaces of the reference.

// Depth makes the reference an Inspector.
func (s *referenceSource) Depth(ctx context.Context) (d drivers.Depth, _ error) {
	if err := s.usable(ctx, "depth"); err != nil {
		return drivers.Depth{}, err
	}
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	d.DeadLetters = drivers.Unknown
	defer func() { r.mutant.depth(&d) }()
	if r.o.DeadLetter {
		d.DeadLetters = int64(len(r.letters))
	}
	for _, x := range r.messages {
		switch {
		case !r.now.Before(x.visibleAt) || r.mutant.depthCountsAllVisible:
			d.Visible++
		case x.inFlight:
			d.InFlight++
		default:
			d.Delayed++
		}
		d.OldestAge = max(d.OldestAge, r.now.Sub(x.m.EnqueuedAt))
	}
	return d, nil
}

// Peek makes the reference an Inspector.
func (s *referenceSource) Peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	if err := s.usable(ctx, "peek"); err != nil {
		return nil, err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	var ms []*handler.Message
	list := s.r.list(dead)
	if s.r.mutant.peeksAll {
		most = len(*list)
	}
	for _, x := range (*list)[:min(most, len(*list))] {
		m := x.m
		ms = append(ms, &m)
		if s.r.mutant.peekTakes {
			x.visibleAt = s.r.now.Add(time.Hour)
		}
	}
	return ms, nil
}

// Purge makes the reference a Purger.
func (s *referenceSource) Purge(ctx context.Context, dead bool) error {
	if err := s.usable(ctx, "purge"); err != nil {
		return err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	*s.r.list(dead && !s.r.mutant.purgesTheQueueAlways) = nil
	if s.r.mutant.purgeTakesLettersToo {
		s.r.letters = nil
	}
	return nil
}

// StartRedrive makes the reference a Redriver, whose tasks are done immediately.
func (s *referenceSource) StartRedrive(ctx context.Context, _ int) (deadletter.Task, error) {
	if err := s.usable(ctx, "redrive"); err != nil {
		return deadletter.Task{}, err
	}
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	task := deadletter.Task{ID: fmt.Sprint("t", len(r.moved)), Status: deadletter.Completed, Moved: int64(len(r.letters))}
	for _, x := range r.letters {
		x.visibleAt, x.inFlight, x.m.Attempt = r.now, false, r.mutant.redrivenAttempt
		r.messages = append(r.messages, x)
	}
	r.letters = nil
	r.mutant.redriven(r, &task)
	r.moved = append(r.moved, task)
	r.wake()
	return task, nil
}

// Redrives makes the reference a Redriver.
func (s *referenceSource) Redrives(context.Context) ([]deadletter.Task, error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	tasks := slices.Clone(s.r.moved)
	slices.Reverse(tasks)
	return tasks, nil
}

// CancelRedrive makes the reference a Redriver.
func (s *referenceSource) CancelRedrive(context.Context, string) error {
	return &drivers.Error{Code: drivers.NotFound, Queue: "reference", Op: "cancel redrive"}
}

// OpenDeadLetters makes the reference a DeadLetters.
func (s *referenceSource) OpenDeadLetters(context.Context) (drivers.Source, error) {
	if !s.r.o.DeadLetter && !s.r.mutant.opensMissingLetters {
		return nil, &drivers.Error{Code: drivers.Unsupported, Queue: "reference", Op: "open dead letters", Err: errors.New("there is no dead-letter queue")}
	}
	return s.r.open(true), nil
}

// OpenRedrive makes the reference a DeadLetters.
func (s *referenceSource) OpenRedrive(context.Context) (drivers.Sink, error) {
	if s.r.mutant.redrivesToNowhere {
		return &referenceSink{face: face{r: newReference(s.r.o, mutant{})}}, nil
	}
	return &referenceSink{face: face{r: s.r}, redrive: !s.r.mutant.redrivesDuplicates}, nil
}
