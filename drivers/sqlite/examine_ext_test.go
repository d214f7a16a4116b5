package sqlite_test

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
)

// A wish is a queue with its specification and handlers.
type wish struct {
	mux *drivers.Mux
	admin.Target
}

func newWish(t *testing.T) *wish {
	t.Helper()
	return &wish{mux: drivers.NewMux(new(sqlite.Opener)), Target: admin.Target{
		URL: "sqlite://" + filepath.Join(t.TempDir(), "q.db") + "?queue=jobs",
		Spec: &provision.Spec{Name: "jobs", VisibilityTimeout: time.Minute, Retention: 4 * 24 * time.Hour, FIFO: true,
			DeadLetter: &provision.DeadLetter{MaxAttempts: 5, Retention: 14 * 24 * time.Hour}},
	}}
}

func (w *wish) apply(t *testing.T, destructive bool) []provision.Change {
	t.Helper()
	cs, err := admin.Apply(t.Context(), w.mux, w.Target, destructive)
	require.NoError(t, err)
	return cs
}

func (w *wish) findings(t *testing.T) []string {
	t.Helper()
	fs, err := admin.Examine(t.Context(), w.mux, []admin.Target{w.Target})
	require.NoError(t, err)
	out := []string{}
	for _, f := range fs {
		require.Equal(t, "jobs", f.Queue)
		require.NotEmpty(t, f.Fact, f.ID)
		require.NotEmpty(t, f.Remedy.Kind, f.ID)
		out = append(out, string(f.Severity)+" "+f.ID)
	}
	slices.Sort(out)
	return out
}

// open opens the queue with parameters that change it.
func (w *wish) open(t *testing.T, params string) {
	t.Helper()
	source, err := w.mux.OpenSource(t.Context(), w.URL+params, nil)
	require.NoError(t, err)
	require.NoError(t, source.Close())
}

func TestASoundQueueGivesNoFinding(t *testing.T) {
	w := newWish(t)
	w.apply(t, false)
	require.Empty(t, w.findings(t))
	w.Spec = nil
	require.Empty(t, w.findings(t))

	w = newWish(t)
	w.Spec = nil
	w.open(t, "")
	require.Empty(t, w.findings(t), "with the defaults")
	w.Spec = &provision.Spec{Name: "jobs"}
	require.Empty(t, w.findings(t), "a specification that asks for nothing")
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(t *testing.T, w *wish)
		want  []string
	}{
		{"no dead-letter queue", func(t *testing.T, w *wish) {
			w.open(t, "&dead_letter=none")
			w.Spec.DeadLetter = nil
		}, []string{"major no-dead-letter"}},
		{"one attempt", func(t *testing.T, w *wish) {
			w.Spec.DeadLetter.MaxAttempts = 1
			w.apply(t, false)
		}, []string{"major attempts-one"}},
		{"no limit of attempts", func(t *testing.T, w *wish) {
			w.open(t, "&max_attempts=0")
			w.Spec.DeadLetter.MaxAttempts = 0
		}, []string{"major attempts-many"}},
		{"no room for other deliveries", func(_ *testing.T, w *wish) {
			w.Handlers.MaxAttempts = 5
		}, []string{"major attempts-headroom"}},
		{"handlers outlast the lease", func(_ *testing.T, w *wish) {
			w.Handlers.P99 = 2 * time.Minute
		}, []string{"critical visibility-short"}},
		{"letters live no longer than messages", func(t *testing.T, w *wish) {
			w.open(t, "&ordered=false&dead_letter_retention=4d")
			w.Spec.FIFO, w.Spec.DeadLetter.Retention = false, 0
		}, []string{"critical dlq-retention"}},
		{"no order", func(t *testing.T, w *wish) {
			w.open(t, "&ordered=false")
		}, []string{"critical ordering-off", "minor drift"}},
		{"letters", func(t *testing.T, w *wish) { w.reject(t, 3) }, []string{"major letters-present"}},
		{"drift", func(_ *testing.T, w *wish) { w.Spec.VisibilityTimeout = 5 * time.Minute }, []string{"minor drift"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWish(t)
			w.apply(t, false)
			c.build(t, w)
			require.Equal(t, c.want, w.findings(t))
		})
	}
}

// reject sends and rejects n messages.
func (w *wish) reject(t *testing.T, n int) {
	t.Helper()
	sink, err := w.mux.OpenSink(t.Context(), w.URL, nil)
	require.NoError(t, err)
	source, err := w.mux.OpenSource(t.Context(), w.URL, nil)
	require.NoError(t, err)
	for range n {
		require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{{Body: []byte("poison")}})...))
		ds, err := source.Receive(t.Context(), 1, time.Second)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.NoError(t, errors.Join(source.Settle(t.Context(), []drivers.Settlement{{
			Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "poison"},
		}})...))
	}
	require.NoError(t, source.Close())
	require.NoError(t, sink.Close())
}

func TestADiagnosisOfNoQueue(t *testing.T) {
	w := newWish(t)
	_, err := admin.Examine(t.Context(), w.mux, []admin.Target{w.Target})
	require.ErrorIs(t, err, drivers.ErrNotFound)
	w.open(t, "_other") // the file exists, the queue does not
	_, err = admin.Examine(t.Context(), w.mux, []admin.Target{w.Target})
	require.ErrorIs(t, err, drivers.ErrNotFound)
}

func describe(cs []provision.Change) []string {
	out := []string{}
	for _, c := range cs {
		line := string(c.Kind) + " " + c.Resource + " " + c.Field + " " + c.From + " -> " + c.To
		if c.Destructive {
			line = "! " + line
		}
		out = append(out, line)
	}
	return out
}

func TestPlanAndApply(t *testing.T) {
	w := newWish(t)
	create := []string{
		"create sqlite queue jobs-dlq   -> retention=336h0m0s",
		"create sqlite queue jobs   -> visibility_timeout=1m0s retention=96h0m0s fifo=true dead_letter=jobs-dlq after 5",
	}
	for range 2 { // a plan changes nothing
		cs, err := admin.Plan(t.Context(), w.mux, w.Target)
		require.NoError(t, err)
		require.Equal(t, create, describe(cs))
	}
	at, err := url.Parse(w.URL)
	require.NoError(t, err)
	require.NoFileExists(t, at.Path)
	for _, c := range w.apply(t, false) {
		require.True(t, c.Applied)
		require.Equal(t, "jobs", c.Queue)
	}
	require.Empty(t, w.apply(t, false))

	w.Spec.VisibilityTimeout, w.Spec.Retention = 2*time.Minute, 24*time.Hour
	w.Spec.DeadLetter = &provision.DeadLetter{Name: "letters", MaxAttempts: 7}
	cs := w.apply(t, false)
	require.Equal(t, []string{
		"create sqlite queue letters   -> retention=48h0m0s",
		"update sqlite queue jobs visibility_timeout 1m0s -> 2m0s",
		"! update sqlite queue jobs retention 96h0m0s -> 24h0m0s",
		"! update sqlite queue jobs dead_letter jobs-dlq after 5 -> letters after 7",
	}, describe(cs))
	require.Equal(t, []bool{true, true, false, false}, []bool{cs[0].Applied, cs[1].Applied, cs[2].Applied, cs[3].Applied})
	require.Equal(t, describe(cs)[2:], describe(w.apply(t, true)))
	require.Empty(t, w.apply(t, false))

	w.Spec.DeadLetter.Retention = 30 * 24 * time.Hour
	require.Equal(t, []string{"update sqlite queue letters retention 48h0m0s -> 720h0m0s"}, describe(w.apply(t, false)))
	require.Empty(t, w.apply(t, false))

	// Opening with the same specification makes the same queue.
	other := newWish(t)
	at, err = url.Parse(other.URL)
	require.NoError(t, err)
	u, err := new(sqlite.Opener).WithSpec(at, other.Spec)
	require.NoError(t, err)
	source, err := other.mux.OpenSource(t.Context(), u.String(), nil)
	require.NoError(t, err)
	require.NoError(t, source.Close())
	require.Empty(t, other.apply(t, false))
}

// A setting that an embedded queue can't honor is refused by the driver, each by
// its key.
func TestUnsupportedKeysAreRefused(t *testing.T) {
	for key, s := range map[string]provision.Spec{
		"exactly_once": {ExactlyOnce: true},
		"retain_acked": {RetainAcked: true},
		"kms_key":      {KMSKey: "k"},
		"tags":         {Tags: map[string]string{"team": "jobs"}},
		"alarms":       {Alarms: &provision.Alarms{DeadLetters: 1}},
	} {
		s.Name = "jobs"
		w := newWish(t)
		w.Spec = &s
		_, err := admin.Plan(t.Context(), w.mux, w.Target)
		require.ErrorIs(t, err, drivers.ErrInvalid)
		require.ErrorContains(t, err, "queues.jobs."+key+": ")
	}
	w := newWish(t)
	w.URL += "&retention=3d"
	_, err := admin.Apply(t.Context(), w.mux, w.Target, false)
	require.ErrorContains(t, err, "the URL has retention=3d, and queues.jobs.retention says 4d: give one of them")
	w = newWish(t)
	w.URL = "sqlite:///?queue=jobs"
	_, err = admin.Plan(t.Context(), w.mux, w.Target)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}
