package docstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/docstore/memdocstore"

	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
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
