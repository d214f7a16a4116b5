package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// opener has a state for each queue of its map.
type opener struct {
	scheme string
	states map[string]*provision.State
}

func (o opener) Schemes() []string { return []string{o.scheme} }

func (o opener) OpenSource(context.Context, *url.URL, *drivers.Options) (drivers.Source, error) {
	return nil, drivers.ErrUnsupported
}

func (o opener) OpenSink(context.Context, *url.URL, *drivers.Options) (drivers.Sink, error) {
	return nil, drivers.ErrUnsupported
}

type examiner struct{ opener }

var errNoQueue = errors.New("no such queue")

func (e examiner) Examine(_ context.Context, u *url.URL) (*provision.State, error) {
	s, ok := e.states[u.Host]
	if !ok {
		return nil, errNoQueue
	}
	return s, nil
}

func (e examiner) Plan(_ context.Context, u *url.URL, _ *provision.Spec) (*provision.Plan, error) {
	p := &provision.Plan{}
	p.Add(provision.Change{Resource: "queue " + u.Host, Kind: provision.Update, Field: "retention", From: "1h", To: "2h"}, nil)
	p.Add(provision.Change{Resource: "queue " + u.Host, Kind: provision.Note}, nil)
	return p, nil
}

// sound is a queue with nothing wrong.
func sound() *provision.State {
	return &provision.State{
		Queue: "q", Lease: time.Minute, Retention: 4 * day, MaxRetention: 14 * day, OldestAge: time.Hour, AttemptsLimit: 100,
		DeadLetter: &provision.DeadLetterState{Name: "q-dlq", MaxAttempts: 5, Retention: 14 * day},
	}
}

const day = 24 * time.Hour

func mux() *drivers.Mux {
	sick, sicker := sound(), sound()
	sick.Fault(provision.ShortPolling, "the long poll is off")
	sick.DeadLetter = nil
	sicker.DeadLetter.Retention = 3 * day
	return drivers.NewMux(
		examiner{opener{"good", map[string]*provision.State{"sound": sound(), "sick": sick, "sicker": sicker}}},
		opener{scheme: "plain"},
	)
}

func ids(fs []admin.Finding) []string {
	out := []string{}
	for _, f := range fs {
		out = append(out, f.Queue+" "+f.ID)
	}
	return out
}

func TestCriticalFirst(t *testing.T) {
	fs, err := admin.Examine(t.Context(), mux(), []admin.Target{
		{Name: "a", URL: "good://sick", Spec: &provision.Spec{}}, {Name: "b", URL: "good://sound"}, {URL: "good://sicker"},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"q dlq-retention", "a no-dead-letter", "a drift", "a short-polling"}, ids(fs))
}

func TestSoundQueuesGiveNothing(t *testing.T) {
	fs, err := admin.Examine(t.Context(), mux(), []admin.Target{{URL: "good://sound"}})
	require.NoError(t, err)
	require.Empty(t, fs)
	fs, err = admin.Examine(t.Context(), mux(), nil)
	require.NoError(t, err)
	require.Empty(t, fs)
}

func TestAQueueThatCannotBeExaminedHidesNoOther(t *testing.T) {
	fs, err := admin.Examine(t.Context(), mux(), []admin.Target{
		{Name: "gone", URL: "good://gone"}, {Name: "plain", URL: "plain://x"}, {Name: "typo", URL: "god://x"}, {Name: "ok", URL: "good://sicker"},
	})
	require.ErrorIs(t, err, errNoQueue)
	require.ErrorIs(t, err, drivers.ErrUnsupported)
	require.ErrorContains(t, err, `did you mean "good"`)
	require.Equal(t, []string{"ok dlq-retention"}, ids(fs))
}

// The rules, each with the facts on either side of its threshold.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(s *provision.State)
		spec     *provision.Spec
		handlers admin.Handlers
		want     []string // severity, ID, and setting
	}{
		{name: "sound"},
		{name: "an old message", change: func(s *provision.State) { s.OldestAge = 2*day + 1 }, want: []string{"major oldest-message retention"}},
		{name: "a message that is not old yet", change: func(s *provision.State) { s.OldestAge = 2 * day }},
		{name: "an age without a retention", change: func(s *provision.State) { s.OldestAge, s.Retention = 9*day, 0 }},
		{name: "one attempt", change: func(s *provision.State) { s.DeadLetter.MaxAttempts = 1 }, want: []string{"major attempts-one dead_letter.max_attempts: 5"}},
		{name: "a hundred attempts", change: func(s *provision.State) { s.DeadLetter.MaxAttempts = 100 }},
		{name: "more attempts", change: func(s *provision.State) { s.DeadLetter.MaxAttempts = 101 }, want: []string{"major attempts-many dead_letter.max_attempts: 5"}},
		{name: "no limit", change: func(s *provision.State) { s.DeadLetter.MaxAttempts = 0 }, handlers: admin.Handlers{MaxAttempts: 5},
			want: []string{"major attempts-many dead_letter.max_attempts: 5"}},
		{name: "room", handlers: admin.Handlers{MaxAttempts: 4}},
		{name: "no room", handlers: admin.Handlers{MaxAttempts: 5}, want: []string{"major attempts-headroom dead_letter.max_attempts: 8"}},
		{name: "no room below the provider's limit", handlers: admin.Handlers{MaxAttempts: 99}, want: []string{"major attempts-headroom dead_letter.max_attempts: 100"}},
		{name: "slow handlers", handlers: admin.Handlers{P99: time.Minute}, want: []string{"critical visibility-short visibility_timeout"}},
		{name: "slow handlers with a heartbeat", handlers: admin.Handlers{P99: time.Minute, Heartbeat: true}},
		{name: "handlers within the lease", handlers: admin.Handlers{P99: time.Minute - 1}},
		{name: "letters live as long as messages", change: func(s *provision.State) { s.DeadLetter.Retention = 4 * day }},
		{name: "letters live as long as messages, from the same time", change: func(s *provision.State) { s.DeadLetter.Retention, s.DeadLetter.KeepsAge = 4*day, true },
			want: []string{"critical dlq-retention dead_letter.retention: 14d"}},
		{name: "letters' retention is not known", change: func(s *provision.State) { s.DeadLetter.Retention, s.DeadLetter.KeepsAge = 0, true }},
		{name: "letters", change: func(s *provision.State) { s.DeadLetter.Letters, s.DeadLetter.Ages = 3, []time.Duration{10 * day, day} },
			want: []string{"major letters-present "}},
		{name: "letters near their end", change: func(s *provision.State) {
			s.DeadLetter.Letters, s.DeadLetter.Ages = 3, []time.Duration{day, 11 * day, 12 * day}
		},
			want: []string{"critical letters-expire ", "major letters-present "}},
		{name: "letters near their end by the provider's metrics", change: func(s *provision.State) { s.DeadLetter.Letters, s.DeadLetter.OldestAge = 3, 12*day },
			want: []string{"critical letters-expire ", "major letters-present "}},
		{name: "young letters by the provider's metrics", change: func(s *provision.State) { s.DeadLetter.OldestAge = 10 * day }},
		{name: "no alarm", change: func(s *provision.State) { s.DeadLetter.Unwatched = true }, want: []string{"minor no-alarm alarms.dead_letters: 1"}},
		{name: "no order", spec: &provision.Spec{FIFO: true}, want: []string{"critical ordering-off ", "minor drift "}},
		{name: "a driver's own fault", change: func(s *provision.State) { s.Fault("odd", "it is odd") }, want: []string{"major odd "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sound()
			if c.change != nil {
				c.change(s)
			}
			m := drivers.NewMux(examiner{opener{"good", map[string]*provision.State{"q": s}}})
			fs, err := admin.Examine(t.Context(), m, []admin.Target{{Name: "q", URL: "good://q", Spec: c.spec, Handlers: c.handlers}})
			require.NoError(t, err)
			var got []string
			for _, f := range fs {
				require.NotEmpty(t, f.Fact, f.ID)
				got = append(got, string(f.Severity)+" "+f.ID+" "+f.Remedy.Setting)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func ExampleExamine() {
	fs, err := admin.Examine(context.Background(), mux(), []admin.Target{{Name: "orders", URL: "good://sicker"}})
	if err != nil {
		panic(err)
	}
	for _, f := range fs {
		fmt.Println(f.Severity, f.Queue, f.ID, f.Remedy.Kind, f.Remedy.Setting)
	}
	// Output: critical orders dlq-retention change dead_letter.retention: 14d
}
