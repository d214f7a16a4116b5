package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/drivers"
)

// opener finds what its map says of a queue's path.
type opener struct {
	scheme string
	found  map[string][]drivers.Finding
}

func (o opener) Schemes() []string { return []string{o.scheme} }

func (o opener) OpenSource(context.Context, *url.URL, *drivers.Options) (drivers.Source, error) {
	return nil, drivers.ErrUnsupported
}

func (o opener) OpenSink(context.Context, *url.URL, *drivers.Options) (drivers.Sink, error) {
	return nil, drivers.ErrUnsupported
}

type diagnoser struct{ opener }

var errNoQueue = errors.New("no such queue")

func (d diagnoser) Diagnose(_ context.Context, u *url.URL, spec *drivers.QueueSpec) ([]drivers.Finding, error) {
	fs, ok := d.found[u.Host]
	if !ok {
		return nil, errNoQueue
	}
	if spec != nil {
		fs = append(fs, drivers.Finding{ID: "drift", Severity: drivers.Minor})
	}
	return fs, nil
}

func mux() *drivers.Mux {
	return drivers.NewMux(
		diagnoser{opener{"good", map[string][]drivers.Finding{
			"sound":  {},
			"sick":   {{ID: "short-polling", Severity: drivers.Minor}, {ID: "no-dlq", Severity: drivers.Major}},
			"sicker": {{ID: "dlq-retention", Severity: drivers.Critical}},
		}}},
		opener{scheme: "plain"},
	)
}

func ids(fs []drivers.Finding) []string {
	out := []string{}
	for _, f := range fs {
		out = append(out, f.Queue+" "+f.ID)
	}
	return out
}

func TestCriticalFirst(t *testing.T) {
	fs, err := admin.Examine(t.Context(), mux(), []admin.Target{
		{Name: "a", URL: "good://sick", Spec: &drivers.QueueSpec{}}, {Name: "b", URL: "good://sound"}, {URL: "good://sicker"},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"good://sicker dlq-retention", "a no-dlq", "a drift", "a short-polling"}, ids(fs))
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

func Example() {
	fs, err := admin.Examine(context.Background(), mux(), []admin.Target{{Name: "orders", URL: "good://sicker"}})
	if err != nil {
		panic(err)
	}
	for _, f := range fs {
		fmt.Println(f.Severity, f.Queue, f.ID)
	}
	// Output: critical orders dlq-retention
}
