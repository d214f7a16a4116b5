package httphandler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/webhook"
)

func TestSignedIDs(t *testing.T) {
	const hash = "sha256_2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
	for _, c := range []struct{ id, dedupe, want string }{
		{"m-1", "", "m-1"},
		{"m-1", "order-7", "order-7"},
		{"m-1", "x", "x"},
		{strings.Repeat("x", 256), "", strings.Repeat("x", 256)},
	} {
		require.Equal(t, c.want, signedID(&handler.Message{ID: c.id, DedupeID: c.dedupe}))
	}
	seen := map[string]bool{}
	for _, id := range []string{"a.b", "a b", "é", "a\x00", strings.Repeat("x", 257)} {
		got := signedID(&handler.Message{ID: id})
		require.Len(t, got, len(hash))
		require.True(t, strings.HasPrefix(got, "sha256_"))
		require.False(t, seen[got])
		seen[got] = true
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("name", "value")
	f.Add("na:me\r\n", "a\r\nb\x00 %")
	f.Add("traceparent", "00-x\n")
	signer, err := webhook.NewSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, name, value string) {
		h := http.Header{}
		m := &handler.Message{ID: value, Group: value, Attributes: map[string]string{name: value}}
		setHeaders(h, m)
		setTrace(t.Context(), h, m)
		if value != "" {
			require.NoError(t, signer.Sign(h, signedID(m), time.Unix(1, 0), m.Body), "whatever the ID, it can be signed")
		}
		for k, vs := range h {
			require.Regexp(t, `^[A-Za-z0-9-]+$`, k)
			require.True(t, plainHeader(vs[0]), "%q", vs[0])
		}
	})
}
