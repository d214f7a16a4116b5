package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/iam"
)

// The table of permissions has every command.
func TestEachCommandHasItsPermissions(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, c := range commands(&app{}) {
		want = append(want, c.Name())
	}
	for _, c := range iam.Commands() {
		got = append(got, c.Name)
	}
	require.ElementsMatch(t, want, got)
}
