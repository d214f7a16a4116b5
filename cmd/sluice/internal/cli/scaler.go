package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/sluice-go/sluice/cmd/sluice/internal/scaler"
	"github.com/sluice-go/sluice/cmd/sluice/internal/scaler/externalscaler"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/service"
)

const (
	// defaultScaler is the address of the scaler, and defaultDrain the drain time of a
	// trigger that gives none.
	defaultScaler = "127.0.0.1:9465"
	defaultDrain  = 5 * time.Minute
	// scalerStop is how long requests under way may take when the scaler ends. Streams
	// have no end of their own.
	scalerStop = 2 * time.Second
)

// A scalerCommand answers KEDA.
type scalerCommand struct {
	*app
	listen string
	drain  time.Duration
}

func newScaler(a *app) *cobra.Command {
	s := &scalerCommand{app: a, drain: defaultDrain}
	c := &cobra.Command{
		Use:   "scaler [QUEUE...]",
		Short: "Report to KEDA how many replicas queues need",
		Long: `Serves KEDA's protocol for external scalers (gRPC) for the given queues, or for all
queues of the configuration that can be received from, until interrupted. A trigger
of a ScaledObject has in its metadata

  scalerAddress      the address of this command
  queue              the queue, by the name that this command was given
  drainTime          the time in which the backlog should be drained (default: --drain-time)
  workers            the URL of the workers' metrics, as http://orders:9464/metrics, of a
                     headless service: each address of the host is a worker
  messagesPerSecond  what a replica handles in a second, until it is measured

The number of replicas is the backlog, with the messages in flight, divided by the
throughput of a replica and by the drain time. The throughput is measured by the
workers' counters while messages wait for them; workers or messagesPerSecond must be
given. A queue with a message in flight is active: it is not scaled to zero. If a
queue cannot be counted, KEDA gets an error and keeps what it has.

It listens on the loopback interface unless --listen names another, and without TLS.`,
		Example: `  sluice scaler orders --listen 0.0.0.0:9465
  sluice scaler --drain-time 2m`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args)
		},
	}
	addressVar(c.Flags(), &s.listen, "listen", defaultScaler, "serve at `ADDR`; a port alone is on 127.0.0.1")
	durationVar(c.Flags(), &s.drain, "drain-time", "drain a backlog in this time, if a trigger gives none")
	return c
}

func (s *scalerCommand) run(ctx context.Context, names []string) (err error) {
	if len(names) == 0 {
		if names, err = (&depthCommand{app: s.app}).all(); err != nil {
			return err
		}
	}
	var (
		sources = make(map[string]drivers.Source)
		missing []string
		faults  []error
	)
	for _, name := range names {
		if _, err := s.find(name); err != nil { // a fault of usage
			return err
		}
	}
	for _, name := range names {
		_, source, err := s.openExisting(ctx, name)
		if err != nil {
			sources[name], missing, faults = nil, append(missing, name), append(faults, err)
			continue
		}
		defer closing(source, &err)
		sources[name] = source
	}
	fault := errors.Join(faults...)
	if len(missing) == len(names) || exitCode(fault) == ExitUsage {
		return fault
	}
	answers, err := scaler.New(scaler.Config{Queues: sources, Drain: s.drain, Logger: s.log})
	if err != nil {
		return err
	}
	if fault != nil { // KEDA keeps what it has for these, and the others are scaled
		s.complain(fault)
	}
	later := &late{log: s.log, every: reopenEvery, open: func(ctx context.Context, name string) (func() error, error) {
		_, source, err := s.openExisting(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := answers.Add(name, source); err != nil {
			return nil, errors.Join(err, source.Close())
		}
		return source.Close, nil
	}}
	stop := later.start(ctx, missing)
	defer func() { err = errors.Join(err, stop()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", service.Loopback(s.listen))
	if err != nil {
		return fmt.Errorf("scaler: --listen: %w", err)
	}
	server := grpc.NewServer()
	externalscaler.RegisterExternalScalerServer(server, answers)
	defer context.AfterFunc(ctx, func() {
		cut := time.AfterFunc(scalerStop, server.Stop)
		defer cut.Stop()
		server.GracefulStop()
	})()
	s.log.Info("answering KEDA", "addr", l.Addr().String(), "queues", len(sources), "drain_time", config.FormatDuration(s.drain))
	if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("scaler: %w", err)
	}
	return nil
}
