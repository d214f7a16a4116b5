package telemetry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// certified writes a certificate for collector.test and its key to files.
func certified(t *testing.T) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"collector.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	require.NoError(t, err)
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o600))
	return certificate, key
}

// TestADeadCollectorIsFoundOutWithinAMinute: a connection to a collector that takes
// bytes and answers nothing is replaced, whatever the protocol.
func TestADeadCollectorIsFoundOutWithinAMinute(t *testing.T) {
	certificate, key := certified(t)
	web := func() *http.Server {
		p := new(http.Protocols)
		p.SetHTTP1(true)
		p.SetHTTP2(true)
		return &http.Server{ReadHeaderTimeout: time.Minute, Protocols: p,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/x-protobuf") })}
	}
	for _, c := range []struct {
		name, protocol, endpoint string
		serve                    func(l net.Listener) (stop func())
	}{
		{"grpc", "grpc", "http://192.0.2.1:4317", func(l net.Listener) func() {
			s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
					return err
				}
				return stream.SendMsg(new(emptypb.Empty))
			}))
			go func() { _ = s.Serve(l) }()
			return s.Stop
		}},
		{"HTTP/1", "http/protobuf", "http://collector.test:4318", func(l net.Listener) func() {
			s := web()
			go func() { _ = s.Serve(l) }()
			return func() { _ = s.Close() }
		}},
		{"HTTP/2", "http/protobuf", "https://collector.test:4318", func(l net.Listener) func() {
			s := web()
			go func() { _ = s.ServeTLS(l, certificate, key) }()
			return func() { _ = s.Close() }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", c.protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.endpoint)
			if c.name == "HTTP/2" {
				t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)
			}
			now := time.Now()
			synctest.Test(t, func(t *testing.T) {
				<-time.After(time.Until(now) + time.Minute) // the certificate's time
				l := swallow.NewPipes()
				stop := c.serve(l)
				line := swallow.To(func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
				e, err := otlp{dial: line.Dial}.spanExporter(t.Context())
				require.NoError(t, err)
				spans := tracetest.SpanStubs{{Name: "span"}}.Snapshots()
				require.NoError(t, export(t, e, spans))
				require.Equal(t, 1, line.Dials())
				line.Die()
				began := time.Now()
				for err := export(t, e, spans); err != nil; err = export(t, e, spans) {
					require.LessOrEqual(t, time.Since(began), time.Minute, "the dead connection is still used: %v", err)
				}
				t.Logf("spans get through again after %v", time.Since(began))
				require.LessOrEqual(t, time.Since(began), time.Minute)
				require.NoError(t, e.Shutdown(t.Context()))
				stop()
				line.Close()
			})
		})
	}
}

func export(t *testing.T, e sdktrace.SpanExporter, spans []sdktrace.ReadOnlySpan) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exportTimeout)
	defer cancel()
	err := e.ExportSpans(ctx, spans)
	<-time.After(time.Second)
	return err
}
