package console

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
)

// An action is something that viewers can do with letters.
type action struct {
	// Name is the last part of its path, Title what its page is called, Verb what its
	// button says, and Past what the audit log says.
	Name, Title, Verb, Past string
	// Means says what it does to letters.
	Means string
	// Final actions cannot be undone. Tries is true if the action can begin with a few
	// letters.
	Final, Tries bool
	run          func(context.Context, drivers.Source, order) (outcome, error)
}

// An order is what a viewer wants of an action.
type order struct {
	// ids are the message IDs of the wanted letters; nil is all letters there are.
	ids map[string]bool
	// first is how many letters are tried first; 0 tries none.
	first int
	// spend permits looks that may move letters away.
	spend bool
	task  *task
}

// filter returns the filter that selects the wanted letters, and how many these are; 0 if
// all are wanted.
func (o *order) filter() (letters.Filter, int) {
	if o.ids == nil {
		return letters.Filter{}, 0
	}
	return letters.Filter{Where: func(l letters.Letter) bool { return o.ids[l.Message.ID] }}, len(o.ids)
}

// total returns the number of wanted letters, or otherwise.
func (o *order) total(otherwise int64) int64 {
	if o.ids == nil {
		return otherwise
	}
	return int64(len(o.ids))
}

// An outcome is how an action ended.
type outcome struct {
	text string
	// complete is true if none of the wanted letters is left.
	complete bool
}

// actions returns all actions.
func actions() []action {
	return []action{
		{Name: "redrive", Title: "Bring dead letters back", Verb: "Bring back", Past: "brought dead letters back",
			Means: "Their attempts start again. A letter is sent first and deleted afterwards: a crash loses none, and doubles one batch at most.",
			Tries: true, run: bringBack},
		{Name: "discard", Title: "Discard dead letters", Verb: "Discard", Past: "discarded dead letters",
			Means: "They are deleted for good. Nothing brings them back.", Final: true, run: discard},
	}
}

func bringBack(ctx context.Context, s drivers.Source, o order) (outcome, error) {
	opts := &redrive.Options{SpendAttempts: o.spend, Progress: func(r redrive.Result) { o.task.set(r.Moved, o.total(r.Total)) }}
	opts.Filter, opts.Max = o.filter()
	var r redrive.Result
	var err error
	if o.first > 0 {
		var c redrive.Canaries
		c, r, err = redrive.Canary(ctx, s, opts, &redrive.CanaryOptions{Letters: o.first, Tried: func(r redrive.Result) {
			o.task.say(fmt.Sprintf("%d were brought back first. The others follow when these are acked.", r.Moved))
		}})
		if n := len(c.Returned); n > 0 {
			return outcome{text: fmt.Sprintf("%d brought back first, of which %d became dead letters again; the others stay", c.Sent.Moved, n)}, err
		}
	} else {
		r, err = redrive.Run(ctx, s, opts)
	}
	text := fmt.Sprintf("%d brought back", r.Moved)
	if r.Refused > 0 {
		text += fmt.Sprintf(", %d left that had come back too often", r.Refused)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d left that the queue refused", r.Failed)
	}
	if r.Doubled > 0 {
		text += fmt.Sprintf(", %d now in both queues, since they could not be deleted", r.Doubled)
	}
	if errors.Is(err, context.Canceled) {
		return outcome{text: text + ", then stopped"}, nil
	}
	return outcome{text, err == nil && r.Refused+r.Failed+r.Doubled == 0}, err
}

func discard(ctx context.Context, s drivers.Source, o order) (outcome, error) {
	opts := &letters.Options{SpendAttempts: o.spend, Progress: func(r letters.Result) { o.task.set(r.Done, o.total(drivers.Unknown)) }}
	opts.Filter, opts.Max = o.filter()
	r, err := letters.Discard(ctx, s, opts)
	text := fmt.Sprintf("%d discarded", r.Done)
	if errors.Is(err, context.Canceled) {
		return outcome{text: text + ", then stopped"}, nil
	}
	return outcome{text, err == nil && r.Done == r.Matched}, err
}
