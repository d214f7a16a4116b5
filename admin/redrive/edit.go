package redrive

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
)

// EditOptions are those of [Edit].
type EditOptions struct {
	// SpendAttempts is as in [Options].
	SpendAttempts bool
}

// Edit sends one dead letter back to the queue behind source, changed by change, and removes
// the letter after that. change gets the message as [Run] would send it back, which it may
// change and return; if it returns nil, nothing is done. While it runs, which may take as
// long as it likes, the letter is kept out of sight. Edit returns the message that was
// sent, or nil. It sends nothing if the lease of the letter was lost meanwhile, since
// another may have redriven it. A crash leaves the letter in the dead-letter queue, or in both queues. It
// is an error of the code drivers.NotFound if no letter has the ID. A nil o is the zero
// [EditOptions].
func Edit(ctx context.Context, source drivers.Source, id string, o *EditOptions, change func(context.Context, *handler.Message) (*handler.Message, error)) (sent *handler.Message, err error) {
	opener, ok := source.(deadletter.Opener)
	if !ok {
		return nil, letters.Unsupported(source, "edit")
	}
	dead, err := scan.Open(ctx, opener, o != nil && o.SpendAttempts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dead.Close()) }()
	back, err := opener.OpenRedrive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	s := scan.New(dead, scan.DefaultHold)
	defer func() { err = errors.Join(err, s.GiveBack(ctx)) }()
	letter, err := find(ctx, s, source.Capabilities().Queue, id)
	if err != nil {
		return nil, err
	}
	m, err := restore(letter.Message)
	if err != nil {
		return nil, err
	}
	if m, err = whileKept(ctx, s, letter, m, change); err != nil || m == nil {
		return nil, err
	}
	if err := s.Renew(ctx, letter); err != nil {
		return nil, fmt.Errorf("letter %s was let go of meanwhile, and nothing was sent: %w", id, err)
	}
	m.ID = letter.Message.ID // what a FIFO queue knows a letter by that is sent back
	if err := errors.Join(scan.Send(ctx, back, []*handler.Message{m})...); err != nil {
		return nil, fmt.Errorf("letter %s remains: %w", id, scan.Ended(ctx, err))
	}
	if err := errors.Join(s.Delete(ctx, []drivers.Delivery{letter})...); err != nil {
		return m, fmt.Errorf("letter %s was sent back and could not be deleted: %w", id, err)
	}
	return m, nil
}

// find looks for a letter.
func find(ctx context.Context, s *scan.Scan, queue, id string) (drivers.Delivery, error) {
	for s.More() {
		ds, err := s.Next(ctx, scan.AtOnce)
		if err != nil {
			return drivers.Delivery{}, err
		}
		if err := s.Hold(ctx, ds); err != nil {
			return drivers.Delivery{}, err
		}
		for _, d := range ds {
			if d.Message.ID == id {
				return d, nil
			}
		}
	}
	return drivers.Delivery{}, &drivers.Error{Code: drivers.NotFound, Queue: queue, Op: "edit",
		Err: fmt.Errorf("no dead letter that can be received now has the ID %s", id)}
}

// whileKept calls change and extends the lease of the letter until it returns.
func whileKept(ctx context.Context, s *scan.Scan, letter drivers.Delivery, m *handler.Message,
	change func(context.Context, *handler.Message) (*handler.Message, error),
) (*handler.Message, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		// A third leaves time for two more tries.
		for sleep.For(ctx, s.Lease()/3) == nil {
			if err := s.Renew(ctx, letter); err != nil && ctx.Err() == nil && !drivers.CodeOf(err).Retryable() {
				cancel(fmt.Errorf("letter %s was let go of: %w", letter.Message.ID, err))
			}
		}
	}()
	changed, err := change(ctx, m)
	if cause := context.Cause(ctx); cause != nil && err == nil {
		err = cause
	}
	cancel(nil)
	<-kept
	return changed, err
}
