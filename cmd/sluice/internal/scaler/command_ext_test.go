package scaler_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
	pb "github.com/sluice-go/sluice/cmd/sluice/internal/scaler/externalscaler"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/internal/test/output"
)

// The command answers KEDA's calls about a queue with messages, and ends while a stream
// is open.
func TestTheCommandAnswersKEDA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "sluice.yaml")
	require.NoError(t, os.WriteFile(conf, []byte("queues: {orders: {url: \"sqlite://"+filepath.ToSlash(dir)+"/jobs.db?queue=orders\"}}\n"), 0o600))
	var sent bytes.Buffer
	require.Equal(t, cli.ExitDone, cli.Main(cli.Program{
		Args: []string{"--config", conf, "send", "orders", "--lines"}, Stdin: strings.NewReader(strings.Repeat("work\n", 30)),
		Stdout: &sent, Stderr: &sent, Mux: all.Mux(), Signals: make(chan os.Signal),
	}), sent.String())

	out, signals, ended := &output.Buffer{}, make(chan os.Signal, 1), make(chan int, 1)
	go func() {
		ended <- cli.Main(cli.Program{
			Args:  []string{"--config", conf, "scaler", "--listen", "0", "--drain-time", "1m"},
			Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Mux: all.Mux(), Signals: signals,
		})
	}()
	var addr []string
	require.Eventually(t, func() bool {
		addr = regexp.MustCompile(`addr=(127\.0\.0\.1:\d+)`).FindStringSubmatch(out.String())
		return addr != nil
	}, time.Minute, 10*time.Millisecond, out)
	conn, err := grpc.NewClient(addr[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	keda := pb.NewExternalScalerClient(conn)
	object := &pb.ScaledObjectRef{Name: "orders", Namespace: "default", ScalerMetadata: map[string]string{
		"scalerAddress": addr[1], "queue": "orders", "messagesPerSecond": "0.1",
	}}
	spec, err := keda.GetMetricSpec(t.Context(), object)
	require.NoError(t, err)
	require.Equal(t, "sluice-orders", spec.MetricSpecs[0].MetricName)
	require.EqualValues(t, 60_000, spec.MetricSpecs[0].TargetSize)
	active, err := keda.IsActive(t.Context(), object)
	require.NoError(t, err)
	require.True(t, active.Result)
	metrics, err := keda.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: object, MetricName: "sluice-orders"})
	require.NoError(t, err)
	require.EqualValues(t, 300_000, metrics.MetricValues[0].MetricValue, "30 messages at 0.1 a second: five replicas")
	stream, err := keda.StreamIsActive(t.Context(), object)
	require.NoError(t, err)
	first, err := stream.Recv()
	require.NoError(t, err)
	require.True(t, first.Result)
	signals <- os.Interrupt
	select {
	case code := <-ended:
		require.Equal(t, cli.ExitDone, code, out)
	case <-time.After(time.Minute):
		t.Fatal("the command goes on: " + out.String())
	}
}
