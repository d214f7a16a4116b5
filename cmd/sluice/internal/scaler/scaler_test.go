package scaler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/sluice-go/sluice/cmd/sluice/internal/scaler/externalscaler"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A counted queue has the depth that a test gives it.
type counted struct {
	drivers.Source

	mu    sync.Mutex
	depth drivers.Depth
	err   error
}

func (c *counted) set(visible, inFlight int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.depth, c.err = drivers.Depth{Visible: visible, InFlight: inFlight}, err
}

func (c *counted) Depth(context.Context) (drivers.Depth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.depth, c.err
}

func (c *counted) Peek(context.Context, int, bool) ([]*handler.Message, error) { return nil, nil }

func (c *counted) Capabilities() drivers.Capabilities { return drivers.Capabilities{Queue: "orders"} }

// A rig is a scaler with KEDA's client.
type rig struct {
	*Scaler
	queue *counted
	keda  pb.ExternalScalerClient
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{queue: &counted{}}
	var err error
	r.Scaler, err = New(Config{Queues: map[string]drivers.Source{"orders": r.queue}, Drain: 5 * time.Minute, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r.every = 5 * time.Millisecond
	server := grpc.NewServer()
	pb.RegisterExternalScalerServer(server, r.Scaler)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r.keda = pb.NewExternalScalerClient(conn)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-done)
	})
	return r
}

// holds sets the queue's depth, and has the next question count it.
func (r *rig) holds(visible, inFlight int64, err error) {
	r.queue.set(visible, inFlight, err)
	q := r.queues["orders"]
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at = time.Time{}
}

// KEDA keeps what it has for a queue that is not there yet.
func TestAQueueThatComesLate(t *testing.T) {
	s, err := New(Config{Queues: map[string]drivers.Source{"orders": nil}, Drain: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	_, err = s.IsActive(t.Context(), object())
	require.Equal(t, codes.Unavailable, status.Code(err))
	_, err = s.GetMetricSpec(t.Context(), object())
	require.Equal(t, codes.Unavailable, status.Code(err))

	late := &counted{}
	late.set(3, 0, nil)
	require.NoError(t, s.Add("orders", late))
	active, err := s.IsActive(t.Context(), object())
	require.NoError(t, err)
	require.True(t, active.Result)
}

func object(metadata ...string) *pb.ScaledObjectRef {
	m := map[string]string{"scalerAddress": "sluice-scaler:9465", "queue": "orders", "messagesPerSecond": "5"}
	for i := 0; i < len(metadata); i += 2 {
		m[metadata[i]] = metadata[i+1]
		if metadata[i+1] == "" {
			delete(m, metadata[i])
		}
	}
	return &pb.ScaledObjectRef{Name: "orders", Namespace: "default", ScalerMetadata: m}
}

// replicas are those that the autoscaler makes of the answers.
func (r *rig) replicas(t *testing.T, o *pb.ScaledObjectRef) float64 {
	t.Helper()
	spec, err := r.keda.GetMetricSpec(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, spec.MetricSpecs, 1)
	name := spec.MetricSpecs[0].MetricName
	got, err := r.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: o, MetricName: name})
	require.NoError(t, err)
	require.Len(t, got.MetricValues, 1)
	require.Equal(t, name, got.MetricValues[0].MetricName)
	require.InDelta(t, got.MetricValues[0].MetricValueFloat, float64(got.MetricValues[0].MetricValue), 1, "old and new releases of KEDA read the same")
	require.InDelta(t, spec.MetricSpecs[0].TargetSizeFloat, float64(spec.MetricSpecs[0].TargetSize), 1)
	return got.MetricValues[0].MetricValueFloat / spec.MetricSpecs[0].TargetSizeFloat
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		visible, inFlight int64
		metadata          []string
		want              float64
	}{
		{0, 0, nil, 0},
		{15000, 0, nil, 10},   // 1500 in 5 minutes
		{7500, 7500, nil, 10}, // those in flight are work too
		{15000, drivers.Unknown, nil, 10},
		{15000, 0, []string{"drainTime", "10m"}, 5},
		{15000, 0, []string{"messagesPerSecond", "0.5"}, 100},
		// Nothing is known of a replica: one is needed to measure it.
		{15000, 0, []string{"messagesPerSecond", "", "workers", "http://127.0.0.1:1/metrics"}, 1},
		{0, 0, []string{"messagesPerSecond", "", "workers", "http://127.0.0.1:1/metrics"}, 0},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.holds(c.visible, c.inFlight, nil)
			require.InDelta(t, c.want, r.replicas(t, object(c.metadata...)), 0.001)
		})
	}
}

// It never scales to zero over running work, nor because it does not know.
func TestActive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		visible, inFlight int64
		want              bool
	}{{0, 0, false}, {1, 0, true}, {0, 1, true}, {0, drivers.Unknown, false}, {1, drivers.Unknown, true}} {
		r.holds(c.visible, c.inFlight, nil)
		got, err := r.keda.IsActive(t.Context(), object())
		require.NoError(t, err)
		require.Equal(t, c.want, got.Result, "%+v", c)
	}
	r.holds(0, 0, errors.New("throttled"))
	_, err := r.keda.IsActive(t.Context(), object())
	require.Equal(t, codes.Unavailable, status.Code(err))
	_, err = r.keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: object()})
	require.Equal(t, codes.Unavailable, status.Code(err))
	r.holds(drivers.Unknown, 0, nil)
	_, err = r.keda.IsActive(t.Context(), object())
	require.Equal(t, codes.Unavailable, status.Code(err), "a count that is not known is not zero")
}

func TestAStreamSendsChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.keda.StreamIsActive(ctx, object())
	require.NoError(t, err)
	next := func() bool {
		m, err := stream.Recv()
		require.NoError(t, err)
		return m.Result
	}
	require.False(t, next())
	r.holds(0, 3, nil)
	require.True(t, next())
	r.holds(0, 0, errors.New("throttled"))
	r.holds(0, 0, nil)
	require.False(t, next())
	cancel()
	_, err = stream.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
}

func TestWhatATriggerMayNotSay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		metadata []string
		code     codes.Code
		want     string
	}{
		{[]string{"queue", "other"}, codes.NotFound, `queue "other" is none`},
		{[]string{"queue", ""}, codes.InvalidArgument, "queue is missing"},
		{[]string{"messagesPerSecond", ""}, codes.InvalidArgument, "give workers"},
		{[]string{"messagesPerSecond", "0"}, codes.InvalidArgument, "above zero"},
		{[]string{"messagesPerSecond", "NaN"}, codes.InvalidArgument, "above zero"},
		{[]string{"drainTime", "-1s"}, codes.InvalidArgument, "above zero"},
		{[]string{"drain_time", "1s"}, codes.InvalidArgument, `did you mean "drainTime"?`},
		{[]string{"workers", "orders:9464"}, codes.InvalidArgument, "the URL of the workers' metrics"},
	} {
		_, err := r.keda.GetMetricSpec(t.Context(), object(c.metadata...))
		require.Equal(t, c.code, status.Code(err), "%v", c.metadata)
		require.ErrorContains(t, err, c.want)
	}
}

// The throughput is that of a worker while messages wait.
func TestTheThroughputIsMeasured(t *testing.T) {
	t.Parallel()
	at := time.Now()
	sampleAt := func(seconds int, waiting bool, handled ...float64) sample {
		s := sample{at: at.Add(time.Duration(seconds) * time.Second), waiting: waiting, handled: map[string]float64{}}
		for i, n := range handled {
			s.handled[fmt.Sprint(i)] = n
		}
		return s
	}
	for _, c := range []struct {
		name    string
		samples []sample
		want    float64
	}{
		{"nothing", nil, 0},
		{"one sample", []sample{sampleAt(0, true, 5)}, 0},
		{"two workers, 20 each in 10 s", []sample{sampleAt(0, true, 5, 100), sampleAt(10, true, 25, 120)}, 2},
		{"nothing waited in the end", []sample{sampleAt(0, true, 5), sampleAt(10, false, 25)}, 0},
		{"nothing waited at first", []sample{sampleAt(0, false, 5), sampleAt(10, true, 25)}, 0},
		{"a new worker does not count yet", []sample{sampleAt(0, true, 5), sampleAt(10, true, 25, 1000)}, 2},
		{"one that was restarted does not count", []sample{sampleAt(0, true, 5, 100), sampleAt(10, true, 25, 3)}, 2},
		{"too soon", []sample{sampleAt(0, true, 5), sampleAt(1, true, 25)}, 0},
		{"too late", []sample{sampleAt(0, true, 5), sampleAt(1000, true, 25)}, 0},
		{"none has ended", []sample{sampleAt(0, true, 0), sampleAt(10, true, 20), sampleAt(20, true, 20)}, 2},
		{"it follows slowly", []sample{sampleAt(0, true, 0), sampleAt(10, true, 20), sampleAt(20, true, 80)}, 0.7*2 + 0.3*6},
	} {
		m := &meter{}
		for _, s := range c.samples {
			m.add(s)
		}
		require.InDelta(t, c.want, m.measured(), 1e-9, c.name)
	}
}

// Each address of the workers' host is a worker, and retries do not count.
func TestWorkersAreScraped(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.True(t, strings.HasPrefix(r.Host, "orders.default.svc:"), r.Host) //nolint:forbidigo // not the test's goroutine
		_, _ = io.WriteString(w, `# TYPE sluice_messages_settled_total counter
sluice_messages_settled_total{messaging_destination_name="orders",sluice_verdict="ack"} 30
sluice_messages_settled_total{messaging_destination_name="orders",sluice_verdict="dead_letter"} 2
sluice_messages_settled_total{messaging_destination_name="orders",sluice_verdict="retry"} 500
sluice_messages_settled_total{messaging_destination_name="emails",sluice_verdict="ack"} 700
`)
	}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	w := workers{client: s.Client(), lookup: func(_ context.Context, host string) ([]string, error) {
		require.Equal(t, "orders.default.svc", host)
		return []string{"127.0.0.1", "127.0.0.9"}, nil // on the second nobody may answer
	}}
	got, err := w.handled(t.Context(), "http://orders.default.svc:"+port+"/metrics", "orders")
	require.NoError(t, err)
	require.InDelta(t, 32, got["127.0.0.1:"+port], 0)
	w.lookup = func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
	_, err = w.handled(t.Context(), "http://orders.default.svc:"+port+"/metrics", "orders")
	require.ErrorContains(t, err, "no such host")
}

// The trigger of the example's manifest says what the scaler takes.
func TestTheManifest(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "examples", "keda", "keda.yaml"))
	require.NoError(t, err)
	kinds := make(map[string]int)
	d := yaml.NewDecoder(bytes.NewReader(raw))
	for {
		var o struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
			Spec       struct {
				Triggers []struct {
					Type     string            `yaml:"type"`
					Metadata map[string]string `yaml:"metadata"`
				} `yaml:"triggers"`
			} `yaml:"spec"`
		}
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		kinds[o.Kind]++
		for _, trigger := range o.Spec.Triggers {
			require.Equal(t, "external", trigger.Type)
			got, err := parse(trigger.Metadata, time.Minute)
			require.NoError(t, err)
			require.Equal(t, target{queue: "orders", drain: 2 * time.Minute, rate: 5, workers: "http://orders.default.svc:9464/metrics"}, got)
		}
	}
	require.Equal(t, map[string]int{"ConfigMap": 1, "Deployment": 2, "Service": 2, "NetworkPolicy": 1, "ScaledObject": 1}, kinds)
}
