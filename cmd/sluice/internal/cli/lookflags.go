package cli

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
)

// lookFlags are those of all commands that look at messages or letters.
type lookFlags struct {
	spend bool

	// held are the letters that somebody else had when the look began, of all letters. Both
	// are zero if the provider does not count them.
	held, all int64
}

// pubsubSystem is the system of Pub/Sub, which does not count what is in flight.
const pubsubSystem = "gcp_pubsub"

const lookHelp = `A dead-letter queue can have a dead-letter queue of its own. If it allows three deliveries
or fewer, of which a look is one, the command refuses, unless --spend-attempts is given.`

func (f *lookFlags) add(fl *pflag.FlagSet) {
	fl.BoolVar(&f.spend, "spend-attempts", false, "look at a queue with few attempts, though it may dead-letter messages")
}

// lookable opens the letters of a queue for a moment, to warn that a look spends an attempt
// of each, and returns how many there are; 0 if it spends none. Whether it is refused is for
// the operation to say.
func (f *lookFlags) lookable(ctx context.Context, a *app, source drivers.Source) (attempts int) {
	opener, ok := source.(deadletter.Opener)
	if !ok {
		return 0
	}
	dead, err := opener.OpenDeadLetters(ctx)
	if err != nil {
		return 0 // the look says why
	}
	c := dead.Capabilities()
	if inspector, ok := dead.(drivers.Inspector); ok && c.System != pubsubSystem {
		if d, err := inspector.Depth(ctx); err == nil && d.InFlight > 0 && d.Visible >= 0 {
			f.held, f.all = d.InFlight, d.Visible+d.InFlight+max(d.Delayed, 0)
		}
	}
	_ = dead.Close()
	attempts, few := deadletter.LookAttempts(c)
	if attempts > 0 && (!few || f.spend) {
		warnLook(a, c.Queue, attempts)
	}
	return attempts
}

// short warns of a look at all letters that could not see those that somebody else holds.
// max is the most letters that were asked for, or 0 for all.
func (f *lookFlags) short(a *app, name string, filter *letters.Filter, max int, seen, matched int64) {
	switch {
	case f.held == 0, seen >= f.all:
	case max > 0 && matched >= int64(max), filter.OnlyIDs() && matched >= int64(len(filter.IDs)): // it looked no further
	default:
		a.log.Warn("letters are held, by another command or by one that was killed: those were not looked at", "queue", name, "looked_at", seen, "letters", f.all)
	}
}

func warnLook(a *app, queue string, attempts int) {
	a.log.Warn("looking spends an attempt of each message, and dead-letters one that has used them up", "queue", queue, "attempts", attempts)
}

// wayOut adds the flag to a refusal to look.
func wayOut(err error) error {
	if errors.Is(err, letters.ErrFewAttempts) {
		return usage("%w: give --spend-attempts to look all the same", err)
	}
	return err
}
