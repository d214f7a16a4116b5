package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// The rules' thresholds.
const (
	manyAttempts        = 100
	roomForDeliveries   = 3 // attempts that a queue should allow above the handlers' own limit
	lettersNearExpiry   = 4 // a letter is near its end in the last quarter of its time
	oldestPartRetention = 2
)

// Examine returns what is wrong with the queues: what [Fleet.Examine] returns for a
// fleet of them.
func Examine(ctx context.Context, mux *drivers.Mux, targets []Target) ([]Finding, error) {
	return (&Fleet{Mux: mux, Targets: targets}).Examine(ctx)
}

func rank(s Severity) int {
	switch s {
	case Critical:
		return 0
	case Major:
		return 1
	case Minor:
		return 2
	default:
		return 3
	}
}

func examine(ctx context.Context, mux *drivers.Mux, t *Target) ([]Finding, error) {
	examiner, u, err := capable[provision.Examiner](mux, t, "doctor", "cannot examine a queue")
	if err != nil {
		return nil, err
	}
	state, err := examiner.Examine(ctx, u)
	j := judge{target: t, state: state}
	if state != nil {
		j.judge()
	}
	if err != nil {
		return j.found, fmt.Errorf("%s: %w", t.name(), err)
	}
	if t.Spec == nil {
		return j.found, nil
	}
	wanted, err := Plan(ctx, mux, *t)
	if err != nil {
		return j.found, err
	}
	j.drift(wanted)
	return j.found, nil
}

// A judge applies the rules to one queue.
type judge struct {
	target *Target
	state  *provision.State
	found  []Finding
}

// add adds a finding. An empty setting is the catalogue's.
func (j *judge) add(k provision.FaultKind, setting, fact string, args ...any) *Finding {
	e := entryOf(k)
	queue := j.target.name()
	if j.target.Name == "" && j.target.Spec == nil && j.state.Queue != "" {
		queue = j.state.Queue
	}
	if len(args) > 0 {
		fact = fmt.Sprintf(fact, args...)
	}
	j.found = append(j.found, Finding{
		ID: e.ID, Severity: e.Severity, Queue: queue, Fact: fact, Why: e.Why,
		Remedy: Remedy{Kind: e.Remedy, Setting: cmp.Or(setting, e.Setting)},
	})
	return &j.found[len(j.found)-1]
}

func (j *judge) judge() {
	for _, f := range j.state.Faults {
		j.add(f.Kind, "", f.Fact).Remedy.Command = f.Command
	}
	j.handlers()
	s := j.state
	if j.target.Spec != nil && j.target.Spec.FIFO && !s.Ordered {
		j.add(orderingOff, "", "the configuration says fifo, but the queue is not ordered")
	}
	if s.Retention > 0 && s.OldestAge > s.Retention/oldestPartRetention {
		j.add(oldestMessage, "", "the oldest message is %v old, and messages are kept for %v", s.OldestAge.Round(time.Second), s.Retention)
	}
	if s.DeadLetter == nil {
		j.add(noDeadLetter, "", "the queue has no dead-letter policy")
		return
	}
	if s.DeadLetter.Name == s.Queue {
		j.add(ownLetters, "", "the dead-letter policy names the queue itself")
		return
	}
	j.attempts()
	j.letters()
}

// handlers compares the queue with its handlers.
func (j *judge) handlers() {
	h, s := &j.target.Handlers, j.state
	if h.P99 > 0 && !h.Heartbeat && s.Lease > 0 && h.P99 >= s.Lease {
		j.add(leaseShort, "", "the lease is %v, and one handler in a hundred takes %v or longer, without a heartbeat", s.Lease, h.P99)
	}
	if d := s.DeadLetter; d != nil && d.MaxAttempts > 0 && d.MaxAttempts <= h.MaxAttempts {
		enough := h.MaxAttempts + roomForDeliveries
		if s.AttemptsLimit > 0 {
			enough = min(enough, s.AttemptsLimit)
		}
		j.add(attemptsRoom, fmt.Sprintf("dead_letter.max_attempts: %d", enough),
			"the queue allows %d deliveries, but the handlers reject only after %d attempts", d.MaxAttempts, h.MaxAttempts)
	}
}

func (j *judge) attempts() {
	switch n := j.state.DeadLetter.MaxAttempts; {
	case n == 1:
		j.add(attemptsOne, "", "a message becomes a dead letter after one delivery")
	case n == 0:
		j.add(attemptsMany, "", "the number of deliveries is not limited")
	case n > manyAttempts:
		j.add(attemptsMany, "", "a message becomes a dead letter after %d deliveries", n)
	}
}

// letters looks at the dead-letter queue and its letters.
func (j *judge) letters() {
	s, d := j.state, j.state.DeadLetter
	if early := d.Retention < s.Retention || d.KeepsAge && d.Retention == s.Retention; early && d.Retention > 0 {
		j.add(dlqRetention, "dead_letter.retention: "+days(cmp.Or(s.MaxRetention, 2*s.Retention)), "dead letters are kept for %v, messages for %v", d.Retention, s.Retention)
	}
	if d.Letters > 0 {
		noun := "dead letters"
		if d.Letters == 1 {
			noun = "dead letter"
		}
		j.add(letters, "", "%d %s in %s", d.Letters, noun, d.Name)
	}
	near := func(age time.Duration) bool {
		return d.Retention > 0 && d.Retention-age <= d.Retention/lettersNearExpiry
	}
	left := func(age time.Duration) time.Duration { return max(d.Retention-age, 0).Round(time.Second) }
	if i := slices.IndexFunc(d.Ages, near); i >= 0 {
		j.add(lettersExpire, "", "one of %d examined letters expires in %v", len(d.Ages), left(d.Ages[i]))
	} else if near(d.OldestAge) {
		j.add(lettersExpire, "", "the oldest letter expires in %v", left(d.OldestAge))
	}
	if d.Unwatched {
		j.add(noAlarm, "", "no alarm watches the depth of %s", d.Name)
	}
}

// days writes a retention as the configuration does.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day != 0 {
		return d.String()
	}
	return fmt.Sprintf("%dd", d/day)
}

// drift compares the queue with its specification. A note is not a difference: it
// says what can't be known.
func (j *judge) drift(wanted []provision.Change) {
	differ := slices.DeleteFunc(wanted, func(c provision.Change) bool { return c.Kind == provision.Note })
	if len(differ) == 0 {
		return
	}
	at := differ[0].Resource
	if differ[0].Field != "" {
		at += " " + differ[0].Field
	}
	if len(differ) == 1 {
		j.add(drift, "", "a difference between the queue and its configuration: %s", at)
		return
	}
	j.add(drift, "", "%d differences between the queue and its configuration, such as %s", len(differ), at)
}
