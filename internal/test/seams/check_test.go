package seams

import (
	"slices"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// before notes that a message's handler began while an earlier one of its group
// had not left the queue as far as its answers went. If that one was
// dead-lettered by the queue itself, it is not a fault; the end of the run decides.
type before struct {
	first, then *message
	at          time.Time
	worker      string
}

// checkStart holds the rules on when a handler may begin. w.mu is held.
func (k *worker) checkStart(m *message, r *run) {
	w := k.w
	for _, other := range m.runs {
		if other == r || !other.running() {
			continue
		}
		if !w.p.idempotent && copies(other, r) || stolen(other) || stolen(r) || w.p.queue == onSQS && m.stolen() {
			continue
		}
		w.find(ruleOverlap, m, "its handler begins on %v while it runs %v", r, other)
	}
	if d := r.delivery; d != nil && d.attempt > 0 && len(m.letters) == 0 {
		if spent := w.spent(m, d); r.attempt > spent {
			w.find(ruleUnhandled, m, "its handler begins with attempt %d, but only %d were spent before by handling or by faults", r.attempt, spent-1)
		}
	}
	if !w.p.ordered || m.group == "" {
		return
	}
	for _, other := range w.p.messages {
		if other == m || other.group != m.group || w.p.queue == onPubSub && !other.onlyOn(k) {
			continue
		}
		for _, o := range other.runs {
			if o.running() && !stolen(o) && !stolen(r) {
				w.find(ruleOverlap, m, "its handler begins on %v while that of %s, of its group, runs %v", r, other.id, o)
			}
		}
		if w.p.queue != onPubSub && other.index < m.index && other.left.IsZero() && m.calls == 1 {
			w.before = append(w.before, before{other, m, time.Now(), k.name})
		}
	}
}

// onlyOn is true for a message that was delivered to no other worker than k. While
// the Pub/Sub service has one batch of an ordering key out at a time, its fake
// delivers to others what comes behind it, and a batch in any order.
func (m *message) onlyOn(k *worker) bool {
	for _, d := range m.deliveries {
		if d.worker != k || d.lost {
			return false
		}
	}
	return len(m.deliveries) > 0
}

// copies is true for runs of two copies of a message: a sender that did not get an
// answer made them, or a redrive that could not delete what it had sent back.
func copies(a, b *run) bool {
	return a.delivery != nil && b.delivery != nil && a.delivery.mid != b.delivery.mid
}

// stolen is true for a message of which a lease was ended behind its holder's back.
// On a standard SQS queue that holder changes the next one's lease by its old
// receipt until it learns of it.
func (m *message) stolen() bool {
	return slices.ContainsFunc(m.deliveries, func(d *delivery) bool { return d.stolen })
}

func stolen(r *run) bool { return r.delivery != nil && r.delivery.stolen }

// free reports whether the queue does not count a release.
func (w *world) free() bool { return w.p.queue == onMem || w.p.queue == onSQLite }

// excused is true for a delivery that was not handled and counts all the same.
func (w *world) excused(d *delivery) bool {
	switch {
	case d.lost || d.troubled || d.stolen || d.worker.killed:
		return true
	case w.p.queue == onSQS && w.byID[d.id] != nil && w.byID[d.id].stolen():
		return true
	case w.free():
		return false
	default:
		return d.draining || d.released && w.behindLost(d)
	}
}

// behindLost is true for a delivery from whose group its worker has lost another
// one, if only another copy of the same message: what comes behind that can't be
// handled here, and is given back.
func (w *world) behindLost(d *delivery) bool {
	m := w.byID[d.id]
	if m == nil || m.group == "" || !w.p.ordered {
		return false
	}
	for _, other := range w.p.messages {
		if other.group != m.group {
			continue
		}
		for _, o := range other.deliveries {
			if o.mid != d.mid && o.worker == d.worker && (o.troubled || o.stolen || !o.settled && !o.released && o.ends.Add(-w.margin()).Before(d.releasedAt)) {
				return true
			}
		}
	}
	return false
}

// spent counts the attempts of a message's copy that handling has used up, or a
// fault, from when it began anew to the given delivery. A later delivery
// does not count: a worker may hold a message that has been redriven since. w.mu is
// held.
func (w *world) spent(m *message, of *delivery) int {
	n, _ := w.attempts(m.deliveries[:slices.Index(m.deliveries, of)+1], of.mid, m.sent)
	return n
}

// most is the largest count of spent attempts that a copy ever had. w.mu is held.
func (w *world) most(m *message, mid string) int {
	_, most := w.attempts(m.deliveries, mid, m.sent)
	return most
}

func (w *world) attempts(deliveries []*delivery, mid string, sent time.Time) (n, most int) {
	last, lastAt := 0, sent
	for _, d := range deliveries {
		if d.mid != mid {
			continue
		}
		if d.attempt == 1 {
			n, last = 0, 0
		}
		if unseen := d.attempt - last - 1; unseen > 0 && w.brokenOff(lastAt, d.at) {
			n += unseen
		}
		switch {
		case d.runs > 0:
			n += d.runs
		case w.excused(d):
			n++
		}
		last, lastAt = max(last, d.attempt), d.at
		most = max(most, n)
	}
	return n, most
}

// brokenOff reports whether a receive from Pub/Sub was canceled between two times.
// The messages in the service's answer were delivered to nobody.
func (w *world) brokenOff(from, to time.Time) bool {
	return w.p.queue == onPubSub && slices.ContainsFunc(w.canceled, func(at time.Time) bool { return !at.Before(from) && !at.After(to) })
}

// checkEffect holds the rule on doubled effects. w.mu is held.
func (k *worker) checkEffect(m *message) {
	w := k.w
	if !w.p.idempotent || len(m.effects) < 2 {
		return
	}
	earlier := m.effects[len(m.effects)-2].run
	if earlier.marked || !earlier.markFailed && !earlier.by.killed {
		w.find(ruleOnce, m, "its effect happens again on %s; the one before, %v, was marked: %t", k.name, earlier, earlier.marked)
	}
}

// checkEnd holds what must be true when the queue is empty. w.mu is held.
func (w *world) checkEnd() {
	for _, b := range w.before {
		f := b.first
		switch {
		case !f.taken || f.unknown || f.redriven > 0: // it came late, and nobody knew when
		case len(f.letters) > 0 && (f.left.IsZero() || f.copies > 1): // the queue took it, or a copy of it, away
		case f.left.IsZero() || f.left.After(b.at):
			w.find(ruleOrder, b.then, "its handler began on %s at %v, when %s, which was sent before, had not left the queue", b.worker, b.at.Sub(w.begin), f.id)
			w.note(f, "FINDING: %s, which was sent behind it, was begun before it had left the queue", b.then.id)
		}
	}
	for _, m := range w.p.messages {
		w.checkMessage(m)
	}
}

func (w *world) checkMessage(m *message) {
	dropped := false
	for _, r := range m.runs {
		dropped = dropped || r.verdict.Action == handler.ActionDrop
	}
	// The Pub/Sub fake keeps messages for ten minutes.
	gone := w.p.queue == onPubSub && time.Since(m.sent) > 9*time.Minute
	if !gone && (m.copies > 0 || m.taken) && len(m.effects) == 0 && !dropped && len(m.letters) == 0 {
		w.find(ruleLost, m, "it was sent (taken: %t, copies: %d), and had no effect, was not dropped, and is no dead letter", m.taken, m.copies)
	}
	if m.copies == 0 && len(m.runs) > 0 {
		w.find(ruleError, m, "it was handled, and never sent")
	}
	for _, l := range m.letters {
		w.checkLetter(m, l)
	}
	for _, d := range m.deliveries {
		for _, e := range m.deliveries {
			if e.mid == d.mid && d.acked && e.at.After(d.settledAt) && w.newest(m, d) {
				w.find(ruleOnce, m, "it was delivered at %v though its ack was taken at %v", e.at.Sub(w.begin), d.settledAt.Sub(w.begin))
			}
		}
	}
}

// newest is true for a delivery that was the latest of its copy when it was
// settled: by an older receipt a standard SQS queue deletes nothing, and says that
// all is well.
func (w *world) newest(m *message, d *delivery) bool {
	return !slices.ContainsFunc(m.deliveries, func(o *delivery) bool {
		return o.mid == d.mid && o.at.After(d.at) && !o.at.After(d.settledAt)
	})
}

// checkLetter holds that a dead letter is one that a handler failed, or a fault,
// and that it has its reason.
func (w *world) checkLetter(m *message, l *letter) {
	if len(m.runs) == 0 && !w.couldExhaust(m) {
		w.find(ruleUnhandled, m, "it is a dead letter (%q), and its handler never ran", l.reason)
		return
	}
	if l.reason != "" {
		return
	}
	if !w.couldExhaust(m) {
		w.find(ruleUnhandled, m, "the queue dead-lettered it after fewer attempts than %d", w.p.maxAttempts)
	}
	// The last delivery of the copy that became the letter decides. A rejection
	// on SQS whose message could not be deleted leaves that to the queue, too.
	told := slices.ContainsFunc(m.letters, func(o *letter) bool { return o.reason != "" })
	if n := len(m.deliveries); n > 0 && m.copies == 1 && !told {
		d := m.deliveries[n-1]
		last := lastRun(m, d)
		if last != nil && last.returned && !last.killed && !last.cut && !w.excused(d) && last.verdict.Action == handler.ActionRetry && !last.verdict.Postponed && !w.overdue(last) {
			w.find(ruleReason, m, "its last handler failed (%v), and the letter has no reason", last)
		}
	}
}

// overdue is true for a run whose lease had ended before it did, as far as its
// consumer could know: its verdict is not carried out.
func (w *world) overdue(r *run) bool {
	return r.delivery != nil && !r.ended.Before(r.delivery.ends.Add(-w.margin()))
}

func lastRun(m *message, d *delivery) *run {
	for i := len(m.runs) - 1; i >= 0; i-- {
		if m.runs[i].delivery == d {
			return m.runs[i]
		}
	}
	return nil
}

// couldExhaust is true where some copy of a message was delivered as often as its
// queue allows, each time for handling or by a fault.
func (w *world) couldExhaust(m *message) bool {
	for _, d := range m.deliveries {
		if w.most(m, d.mid) >= w.p.maxAttempts {
			return true
		}
	}
	return false
}

// exhaustedReason is what the embedded engine says of letters that it made.
const exhaustedReason = "it was delivered as often as its queue allows"

// reasonOf is the reason that a handler's failure gave, or empty.
func reasonOf(m *handler.Message) string {
	d, _ := drivers.ParseFailure(m.Attributes)
	if d.Reason == exhaustedReason {
		return ""
	}
	return d.Reason
}

// margin is how much earlier than a queue a consumer may take a lease for ended:
// the SQS driver leaves a second, in which SQS counts, the Pub/Sub driver a part of
// the lease.
func (w *world) margin() time.Duration {
	if w.p.queue == onPubSub {
		return w.p.lease * 3 / 10
	}
	return 1100 * time.Millisecond
}
