package cli

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

// A relayCommand runs the relay of the configuration's delay store.
type relayCommand struct {
	*app
	metrics string
}

func newRelay(a *app) *cobra.Command {
	r := &relayCommand{app: a}
	c := &cobra.Command{
		Use:   "relay",
		Short: "Send the due rows of the delay store, and run the schedules",
		Long: `Sends the due rows of the table that delay_store names to their queues, and makes the
messages of the configuration's schedules, until SIGINT, SIGTERM, SIGQUIT or SIGHUP. Any
number of relays may run on one table.

A service and "sluice run" do the same beside their queues, unless the configuration has
service.relay: false; this command runs without any queue.

A row that cannot be sent is tried again, after up to 5 minutes, until it is sent: "sluice
outbox" lists such rows. Rows stay in the table for 24 hours after they were sent.`,
		Example: `  sluice relay
  sluice relay --metrics 0.0.0.0:9464`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.run(cmd.Context())
		},
	}
	addressVar(c.Flags(), &r.metrics, "metrics", "", "serve Prometheus metrics at `ADDR`, and /healthz, /livez and /readyz; a port alone is on 127.0.0.1 (default: the configuration's service.admin)")
	return c
}

func (r *relayCommand) run(ctx context.Context) error {
	conf, err := r.config()
	if err != nil {
		return err
	}
	s, err := service.New(conf, &service.Options{
		Mux: r.mux, Telemetry: telemetry.Setup, Logger: r.log, Name: "sluice", Version: readBuild().Version,
		Admin: cmp.Or(r.metrics, conf.Service().Admin, service.NoAdmin), RelayOnly: true,
		DrainTimeout: drainTime, StopTimeout: stopTime,
		Signals: make(chan os.Signal), // r.stop has them
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(r.stop.Now, s.Abort)()
	return s.Run(ctx)
}
