//go:build !sluice_mongo && !sluice_firestore && !sluice_all

package open

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency/opened"
)

// A store that this program was built without names the way to have it.
func TestStoresThatNeedATag(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mongo://db/done": "build it with -tags sluice_mongo or sluice_all, or import gocloud.dev/docstore/mongodocstore",
		"firestore://projects/p/databases/(default)/documents/done": "build it with -tags sluice_firestore or sluice_all",
	} {
		_, err := URL(t.Context(), url)
		require.ErrorIs(t, err, opened.ErrURL)
		require.ErrorContains(t, err, want)
	}
}
