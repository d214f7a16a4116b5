package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/service"
)

// A devCommand runs servers of this machine.
type devCommand struct {
	*app

	sqs, pubsub string
	data        string
	localstack  bool
}

func newDev(a *app) *cobra.Command {
	d := &devCommand{app: a}
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run SQS and Pub/Sub on this machine, with the configuration's queues",
		Long: `Runs an SQS server and a Pub/Sub server in this process, on the loopback interface,
creates the queues of the configuration in them, and prints the environment variables
by which programs (and sluice itself) find them: AWS_ENDPOINT_URL_SQS with the SQS
server, since other services of AWS are not here, PUBSUB_EMULATOR_HOST with the Pub/Sub
server, and AWS_ENDPOINT_URL too with LocalStack. When a configuration file changes, it
creates the queues again. It runs until interrupted.

Messages are kept in memory. With --data the SQS server keeps them in a file between
runs; Google's Pub/Sub fake cannot. --localstack starts LocalStack in place of the SQS
server, or uses the one that already listens at --sqs.`,
		Example: `  sluice dev
  sluice dev --data .sluice >env.sh &          # then, in any shell: . ./env.sh
  sluice dev --sqs 9324 --pubsub ''            # SQS only, on another port
  sluice dev --localstack --sqs 4566`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.localstack && d.data != "" {
				return usage("dev: --data is for the SQS server, LocalStack keeps what it is told in memory")
			}
			return d.run(cmd.Context())
		},
	}
	fs := c.Flags()
	addressVar(fs, &d.sqs, "sqs", "127.0.0.1:4566", "`ADDR` of the SQS server, or a port of 127.0.0.1; empty runs none")
	addressVar(fs, &d.pubsub, "pubsub", "127.0.0.1:8085", "`ADDR` of the Pub/Sub server, or a port of 127.0.0.1; empty runs none")
	allow(fs, mayBeZero, "sqs")
	allow(fs, mayBeZero, "pubsub")
	fs.StringVar(&d.data, "data", "", "keep SQS's messages in this `DIR`")
	fs.BoolVar(&d.localstack, "localstack", false, "start or use LocalStack in place of the SQS server")
	return c
}

// devResult is what dev prints as JSON, once it is ready.
type devResult struct {
	SQS    string            `json:"sqs,omitempty"`
	PubSub string            `json:"pubsub,omitempty"`
	Env    map[string]string `json:"env"`
}

// devPoll is how often configuration files are looked at.
const devPoll = 500 * time.Millisecond

func (d *devCommand) run(ctx context.Context) (err error) {
	if _, err := d.config(); err != nil {
		return err
	}
	var servers []*devServer
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, start := range []func(context.Context) (*devServer, error){d.startSQS, d.startPubSub} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		if s != nil {
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		return usage("dev: with --sqs and --pubsub empty there is nothing to run")
	}
	result := devResult{Env: make(map[string]string)}
	var schemes, names []string
	for _, s := range servers {
		schemes = append(schemes, s.scheme)
		switch s.scheme {
		case "awssqs":
			result.SQS = s.url
		default:
			result.PubSub = s.url
		}
		for _, e := range s.env {
			name, value, _ := strings.Cut(e, "=")
			result.Env[name] = value
			names = append(names, name)
			// The drivers of this process find the servers as any program does.
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	if err := d.apply(ctx, schemes); err != nil {
		return err
	}
	if err := d.ready(result, names); err != nil {
		return err
	}
	return d.watch(ctx, schemes)
}

// ready prints how the servers are found.
func (d *devCommand) ready(r devResult, names []string) error {
	if d.asJSON() {
		return d.printJSON(r)
	}
	for _, name := range names {
		if err := d.printf("export %s=%s\n", name, r.Env[name]); err != nil {
			return err
		}
	}
	d.log.Info("ready", "sqs", r.SQS, "pubsub", r.PubSub)
	return nil
}

// apply makes the configuration's queues that are of the given schemes. Alarms
// are left out: nobody here would sound them.
func (d *devCommand) apply(ctx context.Context, schemes []string) error {
	c, err := d.config()
	if err != nil {
		return err
	}
	var faults []error
	for _, q := range c.Queues() {
		scheme, _, _ := strings.Cut(q.URL(), ":")
		if !slices.Contains(schemes, scheme) {
			d.log.Info("the queue is not served here", "queue", q.Name, "url", config.Redact(q.URL()))
			continue
		}
		q.Spec.Alarms = nil
		changes, err := admin.Apply(ctx, d.mux, target(&q), false)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		d.log.Info("queue ready", "queue", q.Name, "changes", made(changes))
	}
	return errors.Join(faults...)
}

func made(changes []provision.Change) int {
	n := 0
	for _, c := range changes {
		if c.Applied {
			n++
		}
	}
	return n
}

// watch makes the queues again whenever a configuration file changes, until
// ctx is done. A configuration with a fault is reported, and the one before it
// stays.
func (d *devCommand) watch(ctx context.Context, schemes []string) error {
	tick := time.NewTicker(devPoll)
	defer tick.Stop()
	last := d.fingerprint()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := d.fingerprint()
		if now == last {
			continue
		}
		last = now
		before := d.loaded
		d.loaded = nil
		if _, err := d.config(); err != nil {
			d.loaded = before
			d.complain(err)
			continue
		}
		d.log.Info("configuration changed")
		if err := d.apply(ctx, schemes); err != nil && ctx.Err() == nil {
			d.complain(err)
		}
	}
}

// fingerprint is what the configuration files look like from outside.
func (d *devCommand) fingerprint() string {
	files := d.loaded.Files()
	if len(files) == 0 { // it may come
		files = []string{config.DefaultFile}
	}
	var b strings.Builder
	for _, f := range files {
		if i, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", f, i.Size(), i.ModTime().UnixNano())
		}
	}
	return b.String()
}

// startSQS starts the server that answers for SQS, or uses LocalStack.
func (d *devCommand) startSQS(ctx context.Context) (*devServer, error) {
	switch {
	case d.sqs == "":
		return nil, nil
	case d.localstack:
		return useLocalStack(ctx, d.log, service.Loopback(d.sqs))
	default:
		s, err := startSQS(ctx, service.Loopback(d.sqs), d.data)
		return s, busy(err, "sqs")
	}
}

// startPubSub starts the server that answers for Pub/Sub.
func (d *devCommand) startPubSub(context.Context) (*devServer, error) {
	if d.pubsub == "" {
		return nil, nil
	}
	s, err := startPubSub(service.Loopback(d.pubsub))
	return s, busy(err, "pubsub")
}
