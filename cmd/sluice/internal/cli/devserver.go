package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
	"github.com/sluice-go/sluice/localstack"
)

// A devServer is a server that dev runs.
type devServer struct {
	scheme string
	url    string
	env    []string
	stop   func() error
}

// startSQS starts an SQS server at addr. It keeps its messages in the directory
// data, or in memory if that is empty.
func startSQS(ctx context.Context, addr, data string) (*devServer, error) {
	c := &sqstest.Config{Addr: addr}
	stop := func() error { return nil }
	if data != "" {
		if err := os.MkdirAll(data, 0o750); err != nil {
			return nil, err
		}
		engine, err := sqlitequeue.Open(ctx, filepath.Join(data, "sqs.db"), nil)
		if err != nil {
			return nil, fmt.Errorf("dev: --data: %w", err)
		}
		c.Store, stop = engine, engine.Close
	}
	s, err := sqstest.NewServer(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dev: SQS server: %w", err), stop())
	}
	// The endpoint is SQS's alone: the server knows nothing of S3 or DynamoDB.
	env := s.Env()
	slices.Sort(env)
	return &devServer{scheme: "awssqs", url: s.URL(), env: env, stop: func() error {
		return errors.Join(s.Close(), stop())
	}}, nil
}

// useLocalStack uses the LocalStack at addr, or starts one there.
func useLocalStack(ctx context.Context, log *slog.Logger, addr string) (*devServer, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usage("dev: --sqs %s: %w", addr, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, usage("dev: --sqs %s: %q is not a port", addr, port)
	}
	url := "http://" + addr
	running, missing, err := localstack.Running(ctx, url, "sqs")
	here := host == "127.0.0.1" || host == "localhost"
	switch {
	case err != nil && !here:
		return nil, usage("dev: --sqs %s: %w, and LocalStack is started on a port of 127.0.0.1 only", addr, err)
	case err != nil:
		return nil, fmt.Errorf("dev: %w: give another address with --sqs, or leave --localstack out", err)
	case len(missing) > 0:
		return nil, fmt.Errorf("dev: the LocalStack that runs at %s is without SQS: start it with SERVICES=sqs among others, or give another address with --sqs", url)
	case running:
		log.Info("using the LocalStack that is running", "url", url)
		return &devServer{scheme: "awssqs", url: url, env: localstack.Environment(url), stop: func() error { return nil }}, nil
	}
	if !here {
		return nil, usage("dev: --sqs %s: LocalStack is started on a port of 127.0.0.1 only", addr)
	}
	log.Info("starting LocalStack; the first time it is installed, which takes a minute")
	s, err := localstack.Start(ctx, &localstack.Config{Port: int(n)})
	if err != nil {
		return nil, fmt.Errorf("dev: LocalStack: %w", err)
	}
	return &devServer{scheme: "awssqs", url: s.URL, env: localstack.Environment(s.URL), stop: s.Stop}, nil
}

// startPubSub starts Google's Pub/Sub fake at addr.
func startPubSub(addr string) (*devServer, error) {
	s, err := pubsubtest.Start(addr)
	if err != nil {
		return nil, fmt.Errorf("dev: Pub/Sub server: %w", err)
	}
	return &devServer{scheme: "gcppubsub", url: s.Addr(), env: []string{"PUBSUB_EMULATOR_HOST=" + s.Addr()}, stop: s.Close}, nil
}

// busy adds the way out to an error of a server whose address another program has.
func busy(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; another sluice dev may run there: give another address with --%s, port 0 for any that is free, or --%[2]s \"\" for none", err, flag)
	}
	return err
}
