package httphandler

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// keyPair is a certificate for endpoint.test, good at any time.
func keyPair(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"endpoint.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	require.NoError(t, err)
	c, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, roots
}

// TestADeadPeerIsFoundOutWithinAMinute: connections that take bytes and give none are
// left, all of them, after the first request that was not answered.
func TestADeadPeerIsFoundOutWithinAMinute(t *testing.T) {
	cert, roots := keyPair(t)
	errEnd := errors.New("the handler's time is up")
	for _, c := range []struct {
		name    string
		url     string
		timeout time.Duration
		limit   time.Duration // of the handler's context
	}{
		{"HTTP/1 with the default timeout", "http://endpoint.test/", 0, 0},
		{"HTTP/1 with a timeout", "http://endpoint.test/", 2 * time.Second, 0},
		{"HTTP/1 with a context that ends", "http://endpoint.test/", -1, 5 * time.Second},
		{"HTTP/2 without a timeout", "https://endpoint.test/", -1, 0},
		{"HTTP/2 with a timeout", "https://endpoint.test/", 2 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				protocols := new(http.Protocols)
				protocols.SetHTTP1(true)
				protocols.SetHTTP2(true)
				web := &http.Server{
					ReadHeaderTimeout: time.Minute, Protocols: protocols, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
					Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-time.After(time.Second) }),
				}
				l := swallow.NewPipes()
				served := make(chan error, 1)
				go func() {
					if c.url[4] == 's' {
						served <- web.ServeTLS(l, "", "")
					} else {
						served <- web.Serve(l)
					}
				}()
				line := swallow.To(func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
				wire := newTransport(8)
				wire.DialContext, wire.Proxy = line.Dial, nil
				wire.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
				h, err := New(c.url, &Config{Transport: wire, Timeout: c.timeout, Logger: quiet()})
				require.NoError(t, err)

				post := func() error {
					ctx := t.Context()
					if c.limit > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeoutCause(ctx, c.limit, errEnd)
						defer cancel()
					}
					return h.Handle(ctx, &handler.Message{ID: "1", Body: []byte("x"), Attempt: 1})
				}
				// Several connections are idle when the line dies.
				var all sync.WaitGroup
				for range 6 {
					all.Go(func() { _ = post() })
				}
				all.Wait()
				line.Die()
				began := time.Now()
				require.Equal(t, handler.ActionRetry, handler.VerdictOf(post()).Action)
				t.Logf("a request ends after %v", time.Since(began))
				synctest.Wait()
				if c.url[4] == ':' {
					require.NoError(t, post(), "another dead connection was used")
				}
				for post() != nil {
					require.LessOrEqual(t, time.Since(began), time.Minute, "the dead connections are still used")
				}
				t.Logf("all is well after %v", time.Since(began))
				require.LessOrEqual(t, time.Since(began), time.Minute+2*time.Second, "two answers take a second each")

				require.NoError(t, h.Close())
				line.Close()
				require.NoError(t, web.Close())
				require.ErrorIs(t, <-served, http.ErrServerClosed)
			})
		})
	}
}
