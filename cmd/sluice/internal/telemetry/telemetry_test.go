package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/telemetry"
)

func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_SDK_DISABLED",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
	} {
		t.Setenv(name, "")
	}
}

func TestNothingAskedNothingDone(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{ServiceName: "x"})
	require.NoError(t, err)
	require.False(t, tel.Enabled)
	require.Empty(t, tel.Addr)
	_, span := tel.TracerProvider.Tracer("x").Start(t.Context(), "x")
	defer span.End()
	require.False(t, span.IsRecording())
	require.NoError(t, tel.Shutdown(t.Context()))
}

func TestPrometheusIsServedOnLoopback(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{
		MetricsAddr: "0", ServiceName: "worker", Version: "1.2.3",
		Health: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }),
		Live:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "alive") }),
		Ready:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ready") }),
	})
	require.NoError(t, err)
	require.True(t, tel.Enabled)
	require.Contains(t, tel.Addr, "127.0.0.1:")
	counter, err := tel.MeterProvider.Meter("x").Int64Counter("jobs.done")
	require.NoError(t, err)
	counter.Add(t.Context(), 3)

	require.Contains(t, get(t, "http://"+tel.Addr+"/metrics"), "jobs_done_total")
	require.Contains(t, get(t, "http://"+tel.Addr+"/metrics"), `service_name="worker"`)
	require.Equal(t, "fine", get(t, "http://"+tel.Addr+"/healthz"))
	require.Equal(t, "alive", get(t, "http://"+tel.Addr+"/livez"))
	require.Equal(t, "ready", get(t, "http://"+tel.Addr+"/readyz"))
	require.NoError(t, tel.Shutdown(t.Context()))
	_, err = http.Get("http://" + tel.Addr + "/metrics") //nolint:noctx,bodyclose // it is to fail
	require.Error(t, err)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestOTLPByTheStandardVariables(t *testing.T) {
	clearEnv(t)
	var mu sync.Mutex
	paths := make(map[string]int)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths[r.URL.Path]++
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")

	tel, err := telemetry.Setup(t.Context(), telemetry.Options{ServiceName: "x"})
	require.NoError(t, err)
	_, span := tel.TracerProvider.Tracer("x").Start(context.Background(), "x")
	span.End()
	counter, err := tel.MeterProvider.Meter("x").Int64Counter("c")
	require.NoError(t, err)
	counter.Add(t.Context(), 1)
	require.NoError(t, tel.Shutdown(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[string]int{"/v1/traces": 1, "/v1/metrics": 1}, paths)
}

func TestTheSDKCanBeDisabled(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{})
	require.NoError(t, err)
	require.False(t, tel.Enabled)
}

func TestATakenAddressIsAnError(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{MetricsAddr: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	_, err = telemetry.Setup(t.Context(), telemetry.Options{MetricsAddr: tel.Addr})
	require.ErrorContains(t, err, "metrics address")
}

func TestLoopback(t *testing.T) {
	for in, want := range map[string]string{
		"9090": "127.0.0.1:9090", ":9090": "127.0.0.1:9090", "0.0.0.0:9090": "0.0.0.0:9090", "[::1]:1": "[::1]:1",
	} {
		require.Equal(t, want, telemetry.Loopback(in))
	}
}
