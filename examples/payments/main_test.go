package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/payments/payment"
)

// asWorker has the test binary be a worker, to be killed.
const asWorker = "SLUICE_PAYMENTS_WORKER"

func TestMain(m *testing.M) {
	if queue := os.Getenv(asWorker); queue != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		o := options{role: "worker", queue: queue, ledger: os.Getenv("LEDGER"), gateway: os.Getenv("GATEWAY"), patience: 200 * time.Millisecond}
		if err := run(ctx, o, os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	require.NoError(t, run(ctx, options{role: "demo", payments: 30, overloaded: 1000}, &out, slog.New(slog.DiscardHandler)))
	require.Contains(t, out.String(), "posted 30 payments in 40 requests\nledger: 30 rows\ngateway: 30 charges in")
	require.Contains(t, out.String(), "0 payments charged twice")
}

func TestAnUnknownRole(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), options{role: "boss"}, nil, nil), "boss")
}

// TestEachPaymentIsChargedOnce has duplicates, a gateway that fails before and
// after the charge and answers too late, and workers that are killed while they
// work.
func TestEachPaymentIsChargedOnce(t *testing.T) {
	const payments, kills = 150, 8
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	gateway := &payment.FakeGateway{FailEvery: 5, Late: time.Second}
	server := httptest.NewServer(gateway)
	defer server.Close()
	o := options{
		queue:  "sqlite://" + filepath.ToSlash(dir) + "/queue.db?queue=payments&visibility_timeout=2s&max_attempts=1000",
		ledger: filepath.Join(dir, "ledger.db"), listen: "127.0.0.1:0", overloaded: 1_000_000,
	}
	serving, stop := context.WithCancel(ctx)
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- api(serving, o, func(addr string) { address <- addr }) }()
	defer func() { stop(); require.NoError(t, <-ended) }()
	posted, err := post(ctx, <-address, payments)
	require.NoError(t, err)
	require.Equal(t, 200, posted, "every third twice")

	killed := 0
	for killed < kills {
		w := startWorker(t, ctx, o, server.URL)
		before, _, _ := gateway.Charged()
		// It is killed in the middle of its work: once it has charged something.
		require.Eventually(t, func() bool {
			now, _, _ := gateway.Charged()
			return now > before+3 || now == payments
		}, time.Minute, time.Millisecond)
		require.NoError(t, w.Process.Kill())
		var exit *exec.ExitError
		require.ErrorAs(t, w.Wait(), &exit)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
		killed++
	}
	w := startWorker(t, ctx, o, server.URL)
	rows, err := awaitLedger(ctx, o.ledger, payments)
	require.NoError(t, err)
	require.Equal(t, payments, rows)
	requireDrained(t, o.queue)
	require.NoError(t, w.Process.Signal(syscall.SIGTERM))
	require.NoError(t, w.Wait(), "a worker that is asked to stop ends well")

	charged, calls, twice := gateway.Charged()
	require.Equal(t, payments, charged)
	require.Empty(t, twice)
	require.Greater(t, calls, payments, "the gateway failed now and then")
}

func startWorker(t *testing.T, ctx context.Context, o options, gateway string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), asWorker+"="+o.queue, "LEDGER="+o.ledger, "GATEWAY="+gateway)
	require.NoError(t, cmd.Start())
	return cmd
}

// requireDrained waits until the queue is empty, with nothing in its dead-letter
// queue.
func requireDrained(t *testing.T, queue string) {
	t.Helper()
	source, err := all.Mux().OpenSource(t.Context(), queue, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	var d drivers.Depth
	require.Eventually(t, func() bool {
		var err error
		d, err = source.(drivers.Inspector).Depth(t.Context())
		return err == nil && d.Visible+d.InFlight+d.Delayed == 0
	}, time.Minute, 50*time.Millisecond, "%+v", d)
	require.Zero(t, d.DeadLetters)
}
