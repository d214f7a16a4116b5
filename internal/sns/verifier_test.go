package sns

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// TestSNSIsAskedPastADeadConnection: the connection of an earlier request to SNS is
// not used again, since nobody sees that it has died.
func TestSNSIsAskedPastADeadConnection(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
		server.EnableHTTP2 = h2
		server.StartTLS()
		defer server.Close()
		u, err := url.Parse(server.URL)
		require.NoError(t, err)
		line := swallow.ToAddr(u.Host)
		defer line.Close()
		u.Host, err = line.Listen()
		require.NoError(t, err)

		v, err := NewVerifier([]string{"arn:aws:sns:eu-central-1:123456789012:topic"}, Trust{})
		require.NoError(t, err)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		v.trust.Client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		_, err = v.get(t.Context(), u.String())
		require.NoError(t, err)
		line.Die()
		_, err = v.get(t.Context(), u.String())
		require.NoError(t, err)
		require.Equal(t, 2, line.Dials())
	}
}
