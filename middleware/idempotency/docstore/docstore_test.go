package docstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/docstore/memdocstore"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func TestMemdocstoreConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) idempotency.Store {
		c, err := memdocstore.OpenCollection(docstore.KeyField, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		s, err := docstore.New(c)
		require.NoError(t, err)
		return s
	})
}

func TestNewRefusesNil(t *testing.T) {
	_, err := docstore.New(nil)
	require.ErrorContains(t, err, "nil")
}

// Firestore refuses a "/" in a document's name, or takes it for a path.
func TestADocumentsKeyHasNoSlash(t *testing.T) {
	c, err := memdocstore.OpenCollection(docstore.KeyField, nil)
	require.NoError(t, err)
	defer c.Close()
	s, err := docstore.New(c)
	require.NoError(t, err)
	_, err = s.Claim(t.Context(), policy.StoreKey("projects/p/subscriptions/s", "order/1"), "t", time.Minute)
	require.NoError(t, err)
	doc := map[string]any{"key": "26:projects%2Fp%2Fsubscriptions%2Fs:order%2F1"}
	require.NoError(t, c.Get(t.Context(), doc))
	require.Equal(t, "t", doc["token"])
}
