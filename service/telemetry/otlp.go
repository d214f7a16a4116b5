package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// exportTimeout is the specification's default of OTEL_EXPORTER_OTLP_TIMEOUT.
	exportTimeout = 10 * time.Second
	// idleTimeout bounds how long an HTTP connection is kept that no export uses.
	idleTimeout = 30 * time.Second
	// pingAfter and pingTimeout find a dead HTTP/2 connection.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second
)

// keepAlive has a dead connection to a collector found out while an export waits: it
// is pinged when the export begins, if nothing came for Time, and closed if no answer
// comes. Without an export there are no pings, which a collector may refuse.
var keepAlive = grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second})

// setting returns a variable of OTLP's for a signal, or else the one for all.
func setting(signal, name string) string {
	if v := os.Getenv("OTEL_EXPORTER_OTLP_" + signal + "_" + name); v != "" {
		return v
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_" + name)
}

// ours reports whether a signal goes out by OTLP, by exporters made here: those of
// autoexport take no options. Other exporters, and metrics of other producers, are
// autoexport's.
func ours(signal string) bool {
	if producers := os.Getenv("OTEL_METRICS_PRODUCERS"); signal == "METRICS" && producers != "" && producers != "none" {
		return false
	}
	v := os.Getenv("OTEL_" + signal + "_EXPORTER")
	return v == "" || v == "otlp"
}

var errProtocol = errors.New(`OTEL_EXPORTER_OTLP_PROTOCOL must be "grpc" or "http/protobuf"`)

// An otlp makes exporters. A nil dial is the usual one.
type otlp struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o otlp) dialOptions() []grpc.DialOption {
	out := []grpc.DialOption{keepAlive}
	if o.dial != nil {
		out = append(out, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return o.dial(ctx, "tcp", addr) }))
	}
	return out
}

func (o otlp) spanExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if !ours("TRACES") {
		return autoexport.NewSpanExporter(ctx)
	}
	switch setting("TRACES", "PROTOCOL") {
	case "grpc":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithDialOption(o.dialOptions()...))
	case "", "http/protobuf":
		var options []otlptracehttp.Option
		if c := o.httpClient("TRACES"); c != nil {
			options = append(options, otlptracehttp.WithHTTPClient(c))
		}
		return otlptracehttp.New(ctx, options...)
	}
	return nil, errProtocol
}

func (o otlp) metricReader(ctx context.Context) (sdkmetric.Reader, error) {
	if !ours("METRICS") {
		return autoexport.NewMetricReader(ctx)
	}
	var (
		exporter sdkmetric.Exporter
		err      error
	)
	switch setting("METRICS", "PROTOCOL") {
	case "grpc":
		exporter, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithDialOption(o.dialOptions()...))
	case "", "http/protobuf":
		var options []otlpmetrichttp.Option
		if c := o.httpClient("METRICS"); c != nil {
			options = append(options, otlpmetrichttp.WithHTTPClient(c))
		}
		exporter, err = otlpmetrichttp.New(ctx, options...)
	default:
		err = errProtocol
	}
	if err != nil {
		return nil, err
	}
	return sdkmetric.NewPeriodicReader(exporter), nil
}

// httpClient is the exporters' own client, but that a connection that has died is not
// used for ever: one of HTTP/2 is pinged. It returns nil if the TLS files that the
// environment names can't be used; the exporter then says so, and makes its own.
func (o otlp) httpClient(signal string) *http.Client {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        10,
		IdleConnTimeout:     idleTimeout,
		TLSHandshakeTimeout: 10 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	if o.dial != nil {
		t.DialContext = o.dial
	}
	authority, certificate, key := setting(signal, "CERTIFICATE"), setting(signal, "CLIENT_CERTIFICATE"), setting(signal, "CLIENT_KEY")
	if authority != "" || certificate != "" || key != "" {
		c := &tls.Config{MinVersion: tls.VersionTLS12}
		if authority != "" {
			text, err := os.ReadFile(authority)
			c.RootCAs = x509.NewCertPool()
			if err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
				return nil
			}
		}
		if certificate != "" || key != "" {
			pair, err := tls.LoadX509KeyPair(certificate, key)
			if err != nil {
				return nil
			}
			c.Certificates = []tls.Certificate{pair}
		}
		t.TLSClientConfig = c
	}
	timeout := exportTimeout
	if ms, err := strconv.Atoi(strings.TrimSpace(setting(signal, "TIMEOUT"))); err == nil && ms > 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	return &http.Client{Transport: t, Timeout: timeout}
}
