package redrive

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/sluice-go/sluice/admin/internal/scan"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// maxFaults letters that cannot be sent back are named.
const maxFaults = 10

// A mover brings letters back one by one.
type mover struct {
	Options
	scan    *scan.Scan
	back    drivers.Sink
	limiter *rate.Limiter
	result  Result
	faults  []error // of letters that cannot be sent back
}

func runSelective(ctx context.Context, d deadletter.Opener, o Options) (_ Result, err error) {
	m := &mover{Options: o, result: Result{Mode: Selective, Total: drivers.Unknown}}
	dead, err := scan.Open(ctx, d, o.SpendAttempts)
	if err != nil {
		return Result{}, err // nothing was done, in no mode
	}
	defer func() { err = errors.Join(err, dead.Close()) }()
	if m.back, err = d.OpenRedrive(ctx); err != nil {
		return m.result, err
	}
	defer func() { err = errors.Join(err, m.back.Close()) }()
	m.scan = scan.New(dead, o.Hold)
	if o.Rate > 0 {
		m.limiter = rate.NewLimiter(rate.Limit(o.Rate), m.batch())
	}
	err = m.run(ctx)
	m.result.Hidden = m.scan.Hidden
	if len(m.faults) > 0 {
		err = errors.Join(err, fmt.Errorf("%d letters cannot be sent back unchanged: %w", m.result.Failed, errors.Join(m.faults...)))
	}
	return m.result, errors.Join(err, m.scan.GiveBack(ctx))
}

// run looks through the letters until they are seen to the end, the wanted ones
// are found, or something fails.
func (m *mover) run(ctx context.Context) error {
	for m.scan.More() && !m.enough() {
		ds, err := m.scan.Next(ctx, m.batch())
		if err != nil {
			return err
		}
		wanted, others := m.sort(ds)
		if err := m.move(ctx, wanted); err != nil {
			return err
		}
		if err := m.scan.Hold(ctx, others); err != nil {
			return err
		}
		m.Progress(m.result)
	}
	return nil
}

// sort separates the wanted letters from the others.
func (m *mover) sort(ds []drivers.Delivery) (wanted, others []drivers.Delivery) {
	for _, d := range ds {
		m.result.Seen++
		switch {
		case !m.Filter.Matches(letters.Of(d.Message)):
			others = append(others, d)
		case m.MaxRedrives >= 0 && letters.Redrives(d.Message) >= m.MaxRedrives:
			m.result.Matched++
			m.result.Refused++
			others = append(others, d)
		default:
			m.result.Matched++
			wanted = append(wanted, d)
		}
	}
	return wanted, others
}

// enough reports whether the wanted letters are found. A dry run counts all of them.
func (m *mover) enough() bool {
	found := m.Filter.OnlyIDs() && m.result.Matched >= int64(len(m.Filter.IDs))
	return found || !m.DryRun && m.Max > 0 && m.result.Moved >= int64(m.Max)
}

// batch is how many letters are received at the same time: no more than may still be
// moved, since each is a delivery.
func (m *mover) batch() int {
	n := min(max(m.scan.Capabilities().MaxReceive, 1), max(m.back.Capabilities().MaxSend, 1), scan.AtOnce)
	if m.Rate > 0 {
		n = min(n, m.Rate) // what waits for its turn is leased meanwhile
	}
	if m.Max > 0 && !m.DryRun && m.Filter.IsZero() {
		n = min(n, m.Max-int(m.result.Moved))
	}
	return max(n, 1)
}

// move sends wanted letters back, then deletes those that were taken.
func (m *mover) move(ctx context.Context, ds []drivers.Delivery) error {
	if m.Max > 0 && len(ds) > m.Max-int(m.result.Moved) {
		rest := ds[m.Max-int(m.result.Moved):]
		ds = ds[:len(ds)-len(rest)]
		if err := m.scan.Hold(ctx, rest); err != nil {
			return err
		}
	}
	if len(ds) == 0 {
		return nil
	}
	if m.DryRun {
		for _, d := range ds {
			m.Found(d.Message)
		}
		m.result.Moved += int64(len(ds))
		return m.scan.Hold(ctx, ds)
	}
	if m.limiter != nil {
		if err := m.limiter.WaitN(ctx, len(ds)); err != nil {
			return scan.Ended(ctx, err)
		}
	}
	for _, part := range scan.Parts(ds, m.back.Capabilities()) {
		if err := m.moveBatch(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (m *mover) moveBatch(ctx context.Context, ds []drivers.Delivery) error {
	copies := make([]*handler.Message, len(ds))
	for i, d := range ds {
		c, err := restore(d.Message)
		if err != nil {
			return err
		}
		copies[i] = c
	}
	errs := scan.Send(ctx, m.back, copies)
	var (
		failure error
		sent    []drivers.Delivery
		refused []drivers.Delivery
	)
	for i, d := range ds {
		switch err := errs[i]; {
		case err == nil:
			sent = append(sent, d)
		case drivers.CodeOf(err) == drivers.Invalid:
			// The queue will never take this one. The others need not suffer.
			m.result.Failed++
			if len(m.faults) < maxFaults {
				m.faults = append(m.faults, fmt.Errorf("letter %s: %w", d.Message.ID, err))
			}
			refused = append(refused, d)
		default:
			if failure == nil {
				failure = scan.Ended(ctx, fmt.Errorf("letter %s: %w", d.Message.ID, err))
			}
		}
	}
	for i, err := range m.scan.Delete(ctx, sent) {
		m.result.Moved++
		m.Found(sent[i].Message)
		if err != nil {
			m.result.Doubled++
			failure = errors.Join(failure, fmt.Errorf("letter %s was sent back and could not be deleted: %w", sent[i].Message.ID, err))
		}
	}
	fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), scan.SettleTime)
	defer cancel()
	return errors.Join(failure, m.scan.Hold(fresh, refused))
}
