// Package observability_test checks the dashboard and the alert rules against
// the metrics that Sluice really exports.
package observability_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// exported makes every metric once and returns the names and, of each, the
// labels, as Prometheus would scrape them.
func exported(t *testing.T) map[string]string {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
	require.NoError(t, err)
	tel, err := otel.New(&otel.Config{MeterProvider: metric.NewMeterProvider(metric.WithReader(exporter))})
	require.NoError(t, err)

	o := handler.Origin{Queue: "orders", System: "aws_sqs"}
	for k := handler.EventReceived; k <= handler.EventExpired; k++ {
		e := handler.Event{
			Kind: k, Origin: &o, Store: "idempotency store redis://cache", N: 1,
			Message: &handler.Message{Attempt: 1, EnqueuedAt: time.Now().Add(-time.Minute)}, Waited: time.Second,
		}
		if k == handler.EventReceiveFailed {
			e.Err = errors.New("down")
		}
		tel.Observe(e)
	}
	tel.Observe(handler.Event{Kind: handler.EventStarted, Origin: &o})
	tel.Send(o)(t.Context(), []*handler.Message{{}}, func(context.Context, []*handler.Message) []error { return nil })
	m := &handler.Message{}
	m.Bind(&o, nil)
	h := tel.Middleware()(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	require.NoError(t, h.Handle(t.Context(), m))
	_, err = tel.WatchDepth(o, func(context.Context) (otel.Depth, error) {
		return otel.Depth{OldestAge: time.Second, LetterRetention: time.Hour}, nil
	})
	require.NoError(t, err)
	_, err = tel.WatchControl(o, func() otel.Control { return otel.Control{Paused: true, Concurrency: 2, Rate: 3} })
	require.NoError(t, err)

	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	names := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if name, rest, ok := strings.Cut(line, "{"); ok && !strings.HasPrefix(line, "#") {
			names[name] += rest
		}
	}
	return names
}

// check parses a PromQL expression and looks for each metric and label that it
// names.
func check(t *testing.T, where, expr string, known map[string]string) {
	t.Helper()
	// Grafana's variables are not PromQL.
	expr = strings.NewReplacer("$__rate_interval", "5m", "$queue", "orders").Replace(expr)
	parsed, err := metricsql.Parse(expr)
	require.NoError(t, err, "%s: %s", where, expr)
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			name := ""
			for _, f := range filters {
				if f.Label == "__name__" {
					name = f.Value
					require.Contains(t, known, name, "%s: %s", where, expr)
				}
			}
			for _, f := range filters {
				if f.Label != "__name__" {
					require.Contains(t, known[name], f.Label+"=", "%s: %s has no such label", where, name)
				}
			}
		}
	})
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			found := false
			for _, labels := range known {
				found = found || strings.Contains(labels, strings.TrimSpace(label)+"=")
			}
			require.True(t, found, "%s: no metric has the label %s", where, label)
		}
	}
}

func TestAlerts(t *testing.T) {
	known := exported(t)
	raw, err := os.ReadFile("prometheus-alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Record      string            `yaml:"record"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()))
	alerts := make(map[string]bool)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			check(t, r.Alert+r.Record, r.Expr, known)
			if r.Record != "" {
				continue
			}
			if r.For != "" {
				_, err := time.ParseDuration(r.For)
				require.NoError(t, err, r.Alert)
			}
			require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.NotEmpty(t, r.Annotations["description"], r.Alert)
			alerts[r.Alert] = true
		}
	}
	for _, name := range []string{"SluiceDeadLetters", "SluiceOldestMessage", "SluiceLeaseLosses", "SluiceNoProgress", "SluiceUnroutableRejections", "SluiceLettersNearExpiry"} {
		require.True(t, alerts[name], name)
	}
}

func TestDashboard(t *testing.T) {
	known := exported(t)
	shown := make(map[string]bool)
	for _, p := range panels(t) {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			check(t, p.Title, target.Expr, known)
			for name := range known {
				if strings.Contains(target.Expr, name) {
					shown[name] = true
				}
			}
		}
	}
	for name := range known {
		// A histogram is shown by its buckets.
		if strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") || !strings.HasPrefix(name, "sluice_") {
			continue
		}
		require.True(t, shown[name], "%s is on no panel", name)
	}
}
