package pubsubpush_test

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// TestKeysAreFetchedPastADeadConnection: the connection of an earlier request for the
// keys is not used again, since nobody sees that it has died.
func TestKeysAreFetchedPastADeadConnection(t *testing.T) {
	issuer := newIssuer(t)
	u, line := swallow.URL(t, issuer.URL())
	const interval = 100 * time.Millisecond
	e, err := pubsubpush.New(&recorder{}, &pubsubpush.Config{
		Audiences: []string{audience}, Emails: []string{email}, KeysURL: u.String(), KeysInterval: interval,
	})
	require.NoError(t, err)
	require.Equal(t, 204, push(t, e, issuer.Key()))
	line.Die()
	rotated := newKey(t, "key-2", jose.RS256)
	issuer.SetKeys(rotated)
	<-time.After(2 * interval) // keys are asked for again
	require.Equal(t, 204, push(t, e, rotated))
	require.Equal(t, 2, line.Dials())
}
