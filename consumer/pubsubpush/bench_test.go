package pubsubpush_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer/pubsubpush"
)

func BenchmarkPush(b *testing.B) {
	issuer := newIssuer(b)
	e, err := pubsubpush.New(&recorder{}, &pubsubpush.Config{Audiences: []string{audience}, Emails: []string{email}, KeysURL: issuer.URL()})
	require.NoError(b, err)
	token, err := issuer.Token(audience, email)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if post(e, hello, "Authorization", "Bearer "+token).Code != http.StatusNoContent {
			b.Fatal("refused")
		}
	}
}
