package observability_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/output"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

const patience = 30 * time.Second

// promtool runs it and fails the test if it does.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testserver.Promtool(t), args...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// rules writes the rules without their annotations, which promtool compares too, into
// a folder that it returns.
func rules(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("prometheus-alerts.yml")
	require.NoError(t, err)
	var file map[string][]struct {
		Name  string           `yaml:"name"`
		Rules []map[string]any `yaml:"rules"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	for _, g := range file["groups"] {
		for _, r := range g.Rules {
			delete(r, "annotations")
		}
	}
	raw, err = yaml.Marshal(file)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus-alerts.yml"), raw, 0o600))
	return dir
}

// The alerts fire when they should, at the first event too, and on a sound system they
// are silent.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "prometheus-alerts.yml")
	dir := rules(t)
	raw, err := os.ReadFile("prometheus-alerts.test.yml")
	require.NoError(t, err)
	cases := filepath.Join(dir, "test.yml")
	require.NoError(t, os.WriteFile(cases, raw, 0o600))
	promtool(t, "test", "rules", cases)
}

// Every panel shows something of a worker that is well, and every alert is silent.
func TestAWorkerThatIsWell(t *testing.T) {
	t.Parallel()
	tool := testserver.Promtool(t) // before the worker is started
	first, second := scrapes(t)
	known := make(map[string]bool)
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	var input []series
	for name, value := range second {
		was := "_x4"
		if v, ok := first[name]; ok {
			was = number(v) + "x3"
		}
		input = append(input, series{name, was + " " + number(value) + "x3"})
		metric, _, _ := strings.Cut(name, "{")
		known[metric] = true
	}
	const at = "1m45s"
	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	type expression struct {
		Expr    string   `yaml:"expr"`
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	var expressions []expression
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			if strings.Contains(target.Expr, "messaging_client_sent_messages") || strings.Contains(target.Expr, "sluice_queue_limit_") {
				continue // of a process that sends, and of a limited queue, on panels that show more
			}
			// >= 0 leaves out the quantile of nothing, which is not a number.
			expr := "count((" + strings.NewReplacer("$__rate_interval", "90s", "$queue", "orders").Replace(target.Expr) + ") >= 0) > bool 0"
			expressions = append(expressions, expression{expr, at, []sample{{"{}", 1}}})
		}
	}
	type silence struct {
		At    string `yaml:"eval_time"`
		Alert string `yaml:"alertname"`
	}
	var silences []silence
	for _, alert := range []string{
		"SluiceDeadLetters", "SluiceLettersNearExpiry", "SluiceOldestMessage", "SluiceNoProgress", "SluiceLeaseLosses",
		"SluiceStoreDown", "SluiceReceiveFailures", "SluiceUnroutableRejections",
	} {
		silences = append(silences, silence{at, alert})
	}
	raw, err := yaml.Marshal(map[string]any{
		"rule_files": []string{"prometheus-alerts.yml"}, "evaluation_interval": "15s",
		"tests": []any{map[string]any{
			"interval": "15s", "input_series": input, "promql_expr_test": expressions, "alert_rule_test": silences,
		}},
	})
	require.NoError(t, err)
	dir := rules(t)
	cases := filepath.Join(dir, "test.yml")
	require.NoError(t, os.WriteFile(cases, raw, 0o600))
	out, err := exec.CommandContext(t.Context(), tool, "test", "rules", cases).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{
		"sluice_message_wait_seconds_bucket", "sluice_lease_losses_total", "sluice_rejections_unroutable_total",
		"sluice_verdicts_late_total", "sluice_receive_failures_total", "sluice_stores_down", "sluice_queue_letter_retention_seconds",
	} {
		require.True(t, known[name], "%s is there before anything has happened", name)
	}
}

// number is a value as promtool reads it.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

type panel struct {
	Title   string `json:"title"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	raw, err := os.ReadFile("grafana-dashboard.json")
	require.NoError(t, err)
	var d struct {
		Panels []panel `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(raw, &d))
	return d.Panels
}

// scrapes runs a worker and returns two scrapes of it, between which it has handled
// messages.
func scrapes(t *testing.T) (first, second map[string]float64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
queues:
  orders:
    url: mem://orders
    dead_letter: {max_attempts: 5}
    consumer: {retry: {min: 1ms, max: 2ms}, idempotency: {store: "mem://"}}
`), 0o600))
	conf, err := config.Load(&config.Options{Files: []string{file}, Environ: []string{}})
	require.NoError(t, err)
	log := &output.Buffer{}
	mux := drivers.NewMux(&mem.Opener{})
	s, err := service.New(conf, &service.Options{
		Mux: mux, Admin: "0", Telemetry: telemetry.Setup, Logger: slog.New(slog.NewTextHandler(log, nil)), Signals: make(chan os.Signal),
		OpenStore: func(_ context.Context, url string) (*opened.Store, error) {
			return &opened.Store{Store: idempotency.NewMemory(), Closer: io.NopCloser(nil), Name: url}, nil
		},
	})
	require.NoError(t, err)
	var handled atomic.Int32
	s.Handle("orders", handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		if m.Attempt == 1 && string(m.Body) == "twice" {
			return errors.New("not yet")
		}
		handled.Add(1)
		return nil
	}))
	sink, err := conf.OpenSink(t.Context(), mux, "orders")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, sink.Close())
	}()
	var url string
	require.Eventually(t, func() bool {
		_, rest, ok := strings.Cut(log.String(), "admin=")
		url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(log.String(), "handling messages")
	}, patience, 5*time.Millisecond, log)
	work := func() {
		before := handled.Load()
		ms := []*handler.Message{{Body: []byte("once")}, {Body: []byte("twice")}}
		require.NoError(t, errors.Join(sink.Send(t.Context(), ms)...))
		require.Eventually(t, func() bool { return handled.Load() == before+2 }, patience, 5*time.Millisecond, log)
	}
	settled := func(m map[string]float64) (n float64) {
		for name, v := range m {
			if strings.HasPrefix(name, "sluice_messages_settled_total{") {
				n += v
			}
		}
		return n
	}
	first = scrape(t, url)
	require.Zero(t, settled(first), "the counters are there, at zero, before the first message")
	work()
	require.Eventually(t, func() bool { first = scrape(t, url); return settled(first) == 3 }, patience, 20*time.Millisecond)
	work()
	require.Eventually(t, func() bool { second = scrape(t, url); return settled(second) == 6 }, patience, 20*time.Millisecond)
	return first, second
}

// scrape returns the samples at url by their names and labels.
func scrape(t *testing.T, url string) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	samples := make(map[string]float64)
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "sluice_") && !strings.HasPrefix(line, "messaging_") {
			continue
		}
		end := strings.LastIndexByte(line, '}') + 1
		v, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		require.NoError(t, err, line)
		samples[line[:end]] = v
	}
	return samples
}
