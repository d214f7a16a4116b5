package inbox_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/inbox"
)

// fuzz has a provider read requests whose signature and timestamp are anything. None but
// the recorded ones pass.
func fuzz(f *testing.F, r recorded, stamp string) {
	p := r.provider(f)
	f.Add(r.header[r.signed], r.header[stamp], []byte(r.body))
	f.Add("", "", []byte(nil))
	f.Add("v1=,t=,v0=", "-1", []byte("{}"))
	f.Add("sha256=zz", "99999999999999999999", []byte("payload=%zz"))
	f.Fuzz(func(t *testing.T, signature, at string, body []byte) {
		h := r.headers()
		h[http.CanonicalHeaderKey(r.signed)] = []string{signature}
		if stamp != "" {
			h[http.CanonicalHeaderKey(stamp)] = []string{at}
		}
		e, err := p.Read(context.Background(), h, body)
		if err != nil {
			require.ErrorIs(t, err, inbox.ErrSignature)
			require.Nil(t, e)
			return
		}
		require.Equal(t, r.body, string(body))
		require.Equal(t, r.id, e.ID)
	})
}

func FuzzStripe(f *testing.F)  { fuzz(f, recordings[7], "") }
func FuzzGitHub(f *testing.F)  { fuzz(f, recordings[2], "") }
func FuzzShopify(f *testing.F) { fuzz(f, recordings[8], "") }
func FuzzSlack(f *testing.F)   { fuzz(f, recordings[3], "X-Slack-Request-Timestamp") }
