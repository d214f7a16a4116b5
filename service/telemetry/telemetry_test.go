package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
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
	tel, err := telemetry.Setup(t.Context(), service.TelemetryConfig{Name: "x"})
	require.NoError(t, err)
	require.False(t, tel.Enabled())
	require.Nil(t, tel.Metrics)
	require.NoError(t, tel.Close(t.Context()))
}

func TestPrometheus(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), service.TelemetryConfig{Scraped: true, Name: "worker", Version: "1.2.3"})
	require.NoError(t, err)
	require.True(t, tel.Enabled())
	require.Nil(t, tel.TracerProvider)
	counter, err := tel.MeterProvider.Meter("x").Int64Counter("jobs.done")
	require.NoError(t, err)
	counter.Add(t.Context(), 3)
	answer := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Contains(t, answer.Body.String(), "jobs_done_total")
	require.Contains(t, answer.Body.String(), `service_name="worker"`)
	require.NoError(t, tel.Close(t.Context()))
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

	tel, err := telemetry.Setup(t.Context(), service.TelemetryConfig{Name: "x"})
	require.NoError(t, err)
	_, span := tel.TracerProvider.Tracer("x").Start(context.Background(), "x")
	span.End()
	counter, err := tel.MeterProvider.Meter("x").Int64Counter("c")
	require.NoError(t, err)
	counter.Add(t.Context(), 1)
	require.NoError(t, tel.Close(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[string]int{"/v1/traces": 1, "/v1/metrics": 1}, paths)
}

func TestTheSDKCanBeDisabled(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_SDK_DISABLED", "true")
	tel, err := telemetry.Setup(t.Context(), service.TelemetryConfig{})
	require.NoError(t, err)
	require.False(t, tel.Enabled())
}
