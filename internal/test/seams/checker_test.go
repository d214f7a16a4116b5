package seams

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// TestALettersReason: the verdict of a run that ended past its lease, as its
// consumer counts it, is not carried out, and the queue makes a letter without a
// reason.
func TestALettersReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		before time.Duration // the lease's end by the queue's clock
		wrong  bool
	}{
		{"in time", 4 * time.Second, true},
		{"past the driver's margin", 2400 * time.Millisecond, false},
		{"past the lease", -time.Second, false},
	} {
		w := newWorld(&program{queue: onPubSub, lease: 10 * time.Second, maxAttempts: 1})
		ends := time.Now()
		d := &delivery{mid: "m1", worker: &worker{}, attempt: 1, at: ends.Add(-10 * time.Second), ends: ends, runs: 1}
		m := &message{id: "m", copies: 1, deliveries: []*delivery{d}, runs: []*run{{
			delivery: d, attempt: 1, reached: true, worked: true, returned: true, ended: ends.Add(-c.before),
			verdict: handler.Verdict{Action: handler.ActionRetry},
		}}}
		w.checkLetter(m, &letter{})
		require.Equal(t, c.wrong, len(w.findings) > 0, "%s: %v", c.name, w.findings)
	}
}

// TestADeliveryToNobody: a Pull that is canceled may have leased messages.
func TestADeliveryToNobody(t *testing.T) {
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name     string
		queue    string
		canceled []time.Time
		want     int
	}{
		{"a canceled Pull", onPubSub, []time.Time{at(5)}, 3},
		{"none", onPubSub, nil, 2},
		{"one before", onPubSub, []time.Time{at(1)}, 2},
		{"the embedded queue", onMem, []time.Time{at(5)}, 2},
	} {
		w := newWorld(&program{queue: c.queue, lease: 10 * time.Second, maxAttempts: 5})
		w.canceled = c.canceled
		k := &worker{}
		m := &message{id: "m", sent: begin, deliveries: []*delivery{
			{mid: "m1", worker: k, attempt: 1, at: at(2), runs: 1},
			{mid: "m1", worker: k, attempt: 3, at: at(9), runs: 1},
		}}
		require.Equal(t, c.want, w.spent(m, m.deliveries[1]), c.name)
		require.Equal(t, c.want, w.most(m, "m1"), c.name)
	}
}

// TestAttemptsOfAMessageThatIsRedriven: a worker that holds a message begins its
// handler with the attempt that it was delivered with, though the message has been
// dead-lettered and redriven since.
func TestAttemptsOfAMessageThatIsRedriven(t *testing.T) {
	for _, c := range []struct {
		name           string
		attempt        int
		before, behind bool // a redrive, from the delivery that is looked at
		wrong          bool
	}{
		{"the third", 3, false, false, false},
		{"one that nobody spent", 4, false, false, true},
		{"the third, redriven behind it", 3, false, true, false},
		{"the third, redriven before it", 3, true, false, true},
	} {
		w := newWorld(&program{queue: onMem, lease: 30 * time.Second, maxAttempts: 3})
		k := &worker{w: w}
		m := &message{id: "m"}
		deliver := func(attempt int, runs int) {
			m.deliveries = append(m.deliveries, &delivery{mid: "m1", worker: k, attempt: attempt, runs: runs})
		}
		deliver(1, 1)
		deliver(2, 1)
		if c.before {
			deliver(1, 0)
		}
		deliver(c.attempt, 1)
		d := m.deliveries[len(m.deliveries)-1]
		if c.behind {
			deliver(1, 0)
		}
		k.checkStart(m, &run{by: k, delivery: d, attempt: c.attempt})
		require.Equal(t, c.wrong, len(w.findings) > 0, "%s: %v", c.name, w.findings)
	}
}

// TestACopyBehindALostOne: a message that was redriven waits in its group behind its
// own earlier copy. If the worker can't know what became of that one, it gives the
// message back, and SQS counts its receive.
func TestACopyBehindALostOne(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  string // the message ID of the delivery before
		wanted int
	}{
		{"another copy", "m1", 2},
		{"the same one", "m2", 1},
	} {
		k := &worker{}
		m := &message{id: "m", group: "g", deliveries: []*delivery{
			{id: "m", mid: c.first, worker: k, attempt: 1, troubled: true, settled: true},
			{id: "m", mid: "m2", worker: k, attempt: 1, released: true},
			{id: "m", mid: "m2", worker: &worker{}, attempt: 2, runs: 1},
		}}
		w := newWorld(&program{queue: onSQSFIFO, ordered: true, lease: 5 * time.Second, maxAttempts: 4, messages: []*message{m}})
		require.Equal(t, c.wanted, w.spent(m, m.deliveries[2]), c.name)
	}
}

// TestWhatARedriveMoved: Pub/Sub has no redrive of its own. Ours reports which letters
// it has moved; one that an earlier redrive has brought back is not among them.
func TestWhatARedriveMoved(t *testing.T) {
	fake := pubsubtest.New()
	synctest.Test(t, func(t *testing.T) {
		m := &message{id: "m0", dead: true}
		p := &program{queue: onPubSub, lease: 10 * time.Second, maxAttempts: 5, messages: []*message{m}}
		r, err := p.rig(t.Context(), &outside{fake: fake})
		require.NoError(t, err)
		s := &show{world: newWorld(p), rig: r}
		s.raw, err = r.source(t.Context())
		require.NoError(t, err)
		s.redrive(t.Context(), &redrive.Options{})
		s.tasks.Wait()
		require.Empty(t, s.findings)
		require.Zero(t, m.redriven)
		require.True(t, m.dead)
		require.NoError(t, s.raw.Close())
		require.NoError(t, r.close())
	})
}
