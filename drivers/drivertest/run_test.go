package drivertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/drivertest/internal/conformance"
)

func TestRulesAreNumberedAndWorded(t *testing.T) {
	seen := map[string]bool{}
	laws := map[string]bool{}
	for _, r := range Rules() {
		require.Regexp(t, `^[A-Z]+-[0-9]+$`, r.ID)
		require.False(t, seen[r.ID], "two rules have the ID %s", r.ID)
		require.False(t, laws[r.Law], "two rules say: %s", r.Law)
		require.Regexp(t, `^[A-Z].*[^ ]\.$`, r.Law, "the law of %s is no sentence", r.ID)
		require.NotNil(t, r.check, r.ID)
		seen[r.ID], laws[r.Law] = true, true
	}
	require.GreaterOrEqual(t, len(seen), 40)
}

// TestOutcomes decides made-up rules, one of each outcome.
func TestOutcomes(t *testing.T) {
	holds := Rule{ID: "T-1", Law: "It holds.", check: func(*check) {}}
	breaks := Rule{ID: "T-1", Law: "It breaks.", check: func(c *check) { c.fatalf("broken") }}
	absent := Rule{ID: "T-1", Law: "It is absent.", check: func(c *check) { c.needs(false, "there is no such thing") }}
	panics := Rule{ID: "T-1", Law: "It panics.", check: func(*check) { panic("oops") }}
	refused := Rule{ID: "T-1", Law: "It is refused.", check: func(c *check) { c.queue(QueueOptions{Ordered: true}) }}
	excepted := map[string]Exception{"T-1": {Reason: "the server is odd"}}
	flaky := map[string]Exception{"T-1": {Reason: "the server is odd", Flaky: true}}

	for _, c := range []struct {
		name       string
		rule       Rule
		exceptions map[string]Exception
		want       conformance.Status
		note       string
	}{
		{"holds", holds, nil, conformance.Passed, ""},
		{"breaks", breaks, nil, conformance.Failed, "broken"},
		{"breaks where it may", breaks, excepted, conformance.Excepted, "the server is odd"},
		{"holds though it is excepted", holds, excepted, conformance.Failed, "stale"},
		{"holds where it may break now and then", holds, flaky, conformance.Passed, ""},
		{"breaks where it may now and then", breaks, flaky, conformance.Excepted, "the server is odd"},
		{"does not apply", absent, nil, conformance.Inapplicable, "there is no such thing"},
		{"does not apply though it is excepted", absent, excepted, conformance.Failed, "stale"},
		{"panics", panics, nil, conformance.Failed, "oops"},
		{"the provider has no such queue", refused, nil, conformance.Inapplicable, "no order here"},
	} {
		h := &Harness{Server: "test", Exceptions: c.exceptions, NewQueue: func(context.Context, QueueOptions) (*Queue, error) {
			return nil, &drivers.Error{Code: drivers.Unsupported, Err: errors.New("no order here")}
		}}
		got := decide(t.Context(), h, c.rule)
		require.Equal(t, c.want, got.Status, c.name)
		require.Contains(t, got.Note, c.note, c.name)
	}
}

func TestHarnessIsValidated(t *testing.T) {
	err := (&Harness{Exceptions: map[string]Exception{"NOPE-1": {Reason: "x"}, "RECV-1": {}}}).validate(ruleIDs(Rules()))
	require.ErrorContains(t, err, "Server is empty")
	require.ErrorContains(t, err, "NewQueue is nil")
	require.ErrorContains(t, err, `"NOPE-1" names no rule`)
	require.ErrorContains(t, err, `"RECV-1" has no reason`)
}

func TestFailureNamesTheLineOfTheRule(t *testing.T) {
	for _, r := range Rules() {
		if r.ID == "SETL-1" {
			got := decide(t.Context(), referenceHarness(mutant{acksAreLost: true}), r)
			require.Regexp(t, `^settle\.go:\d+: the message was settled for good, but "done"`, got.Note)
		}
	}
}

func TestReportIsWritten(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(conformance.DirVariable, dir)
	t.Run("suite", func(t *testing.T) { Run(t, referenceHarness(mutant{})) })
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Contains(t, string(data), `"rule": "RECV-1"`)
}
