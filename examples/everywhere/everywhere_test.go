package main

import (
	"bytes"
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

// The Lambda function's process is this test's own program.
func TestMain(m *testing.M) {
	if os.Getenv(envQueue) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// One handler has the same effects wherever it runs.
func TestTheSameEffectsEverywhere(t *testing.T) {
	suite.Slow(t)
	testserver.Credentials(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	endpoints := map[string]string{"sqstest": ""}
	if suite.Asked() {
		endpoints["LocalStack"] = testserver.LocalStack(t).URL
	}
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A server of its own: its subject has one name everywhere.
			rs := runtimes(servers{sqs: endpoint, nats: natsserver.Start(t)})
			results, err := runAll(t.Context(), rs, "", slog.New(slog.NewTextHandler(t.Output(), nil)))
			require.NoError(t, err)
			require.Len(t, results, len(rs))
			var out bytes.Buffer
			require.NoError(t, table(&out, results))
			t.Logf("\n%s", out.String())
			require.NoError(t, same(results))
			for _, r := range results {
				require.Equal(t, []string{
					"in-07: the amount of the invoice is negative",
					"in-99: invalid character 'o' in literal null (expecting 'u')",
				}, r.letters, r.runtime)
			}
		})
	}
}

func TestADifferenceIsAnError(t *testing.T) {
	paid := make([]string, wantPaid)
	letters := make([]string, wantLetters)
	sound := result{runtime: "a", paid: paid, letters: letters}
	require.NoError(t, same([]result{sound, sound}))
	require.ErrorContains(t, same([]result{{runtime: "a"}}), "0 paid")
	require.ErrorContains(t, same([]result{sound, {runtime: "b", paid: make([]string, wantPaid+1), letters: letters}}), "effects on b")
	require.ErrorContains(t, same([]result{sound, {runtime: "b", paid: paid, letters: []string{"", "other"}}}), "effects on b")
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"-x"}, {"-only", "nowhere"}} {
		var out bytes.Buffer
		require.Error(t, dispatch(t.Context(), args, &out, &out))
	}
}
