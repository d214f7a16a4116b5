package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/queue/sqlitequeue"
	"github.com/sluice-go/sluice/localstack"
)

// devFlags are the flags of dev.
type devFlags struct {
	sqs, pubsub string
	data        string
	localstack  bool
}

func (a *app) devCommand() *cobra.Command {
	var f devFlags
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run SQS and Pub/Sub on this machine, with the configuration's queues",
		Long: `Runs an SQS server and a Pub/Sub server in this process, on the loopback interface,
creates the queues of the configuration in them, and prints the environment variables
by which programs (and sluice itself) find them. When a configuration file changes, it
creates the queues again. It runs until interrupted.

Messages are kept in memory. With --data the SQS server keeps them in a file between
runs; Google's Pub/Sub fake cannot. --localstack starts LocalStack in place of the SQS
server, or uses the one that already listens at --sqs.`,
		Example: `  sluice dev
  sluice dev --data .sluice >env.sh &          # then, in any shell: . ./env.sh
  sluice dev --localstack --sqs 127.0.0.1:4566`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.localstack && f.data != "" {
				return usage("dev: --data is for the SQS server, LocalStack keeps what it is told in memory")
			}
			return a.dev(cmd.Context(), f)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.sqs, "sqs", "127.0.0.1:4566", "`ADDR` of the SQS server; empty runs none")
	fs.StringVar(&f.pubsub, "pubsub", "127.0.0.1:8085", "`ADDR` of the Pub/Sub server; empty runs none")
	fs.StringVar(&f.data, "data", "", "keep SQS's messages in this `DIR`")
	fs.BoolVar(&f.localstack, "localstack", false, "start or use LocalStack in place of the SQS server")
	return c
}

// A devServer is a server that dev runs.
type devServer struct {
	scheme string
	url    string
	env    []string
	stop   func() error
}

// devResult is what dev prints as JSON, once it is ready.
type devResult struct {
	SQS    string            `json:"sqs,omitempty"`
	PubSub string            `json:"pubsub,omitempty"`
	Env    map[string]string `json:"env"`
}

// devPoll is how often configuration files are looked at.
const devPoll = 500 * time.Millisecond

func (a *app) dev(ctx context.Context, f devFlags) (err error) {
	if _, err := a.config(); err != nil {
		return err
	}
	var servers []*devServer
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, start := range []func(context.Context, devFlags) (*devServer, error){a.devSQS, a.devPubSub} {
		s, err := start(ctx, f)
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
	if err := a.devApply(ctx, schemes); err != nil {
		return err
	}
	if err := a.devReady(result, names); err != nil {
		return err
	}
	return a.devWatch(ctx, schemes)
}

func (a *app) devReady(r devResult, names []string) error {
	if a.asJSON() {
		return a.printJSON(r)
	}
	for _, name := range names {
		if err := a.printf("export %s=%s\n", name, r.Env[name]); err != nil {
			return err
		}
	}
	a.log.Info("ready", "sqs", r.SQS, "pubsub", r.PubSub)
	return nil
}

// devSQS starts what answers for SQS.
func (a *app) devSQS(ctx context.Context, f devFlags) (*devServer, error) {
	if f.sqs == "" {
		return nil, nil
	}
	if f.localstack {
		return a.devLocalStack(ctx, f.sqs)
	}
	c := &sqstest.Config{Addr: f.sqs}
	stop := func() error { return nil }
	if f.data != "" {
		if err := os.MkdirAll(f.data, 0o750); err != nil {
			return nil, err
		}
		engine, err := sqlitequeue.Open(ctx, filepath.Join(f.data, "sqs.db"), nil)
		if err != nil {
			return nil, fmt.Errorf("dev: --data: %w", err)
		}
		c.Store, stop = engine, engine.Close
	}
	s, err := sqstest.NewServer(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dev: SQS server: %w", err), stop())
	}
	env := append([]string{"AWS_ENDPOINT_URL=" + s.URL()}, s.Env()...)
	slices.Sort(env)
	return &devServer{scheme: "awssqs", url: s.URL(), env: slices.Compact(env), stop: func() error {
		return errors.Join(s.Close(), stop())
	}}, nil
}

// devLocalStack uses the LocalStack at addr, or starts one there.
func (a *app) devLocalStack(ctx context.Context, addr string) (*devServer, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usage("dev: --sqs %s: %w", addr, err)
	}
	url := "http://" + addr
	if healthy(ctx, url+"/_localstack/health") {
		a.log.Info("using the LocalStack that is running", "url", url)
		return &devServer{scheme: "awssqs", url: url, env: localstack.Environment(url), stop: func() error { return nil }}, nil
	}
	n, err := strconv.Atoi(port)
	if err != nil || host != "127.0.0.1" && host != "localhost" {
		return nil, usage("dev: --sqs %s: LocalStack is started on a port of 127.0.0.1", addr)
	}
	a.log.Info("starting LocalStack; the first time it is installed, which takes a minute")
	s, err := localstack.Start(ctx, &localstack.Config{Port: n})
	if err != nil {
		return nil, fmt.Errorf("dev: LocalStack: %w", err)
	}
	return &devServer{scheme: "awssqs", url: s.URL, env: localstack.Environment(s.URL), stop: s.Stop}, nil
}

// healthTimeout is how long a LocalStack may take to say that it is there. If
// nobody listens, the answer comes immediately; one that is busy is slow, and must not
// be taken for none: another cannot be started in its place.
const healthTimeout = 20 * time.Second

func healthy(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // it was not read
	return resp.StatusCode == http.StatusOK
}

func (a *app) devPubSub(_ context.Context, f devFlags) (*devServer, error) {
	if f.pubsub == "" {
		return nil, nil
	}
	s, err := pubsubtest.Start(f.pubsub)
	if err != nil {
		return nil, fmt.Errorf("dev: Pub/Sub server: %w", err)
	}
	return &devServer{scheme: "gcppubsub", url: s.Addr(), env: []string{"PUBSUB_EMULATOR_HOST=" + s.Addr()}, stop: s.Close}, nil
}

// devApply makes the configuration's queues that are of the given schemes. Alarms
// are left out: nobody here would sound them.
func (a *app) devApply(ctx context.Context, schemes []string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	var faults []error
	for _, q := range c.Queues() {
		scheme, _, _ := strings.Cut(q.URL(), ":")
		if !slices.Contains(schemes, scheme) {
			a.log.Info("the queue is not served here", "queue", q.Name, "url", config.Redact(q.URL()))
			continue
		}
		q.Spec.Alarms = nil
		changes, err := admin.Apply(ctx, a.mux, target(&q), false)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		a.log.Info("queue ready", "queue", q.Name, "changes", made(changes))
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

// devWatch makes the queues again whenever a configuration file changes, until
// ctx is done. A configuration with a fault is reported, and the one before it
// stays.
func (a *app) devWatch(ctx context.Context, schemes []string) error {
	tick := time.NewTicker(devPoll)
	defer tick.Stop()
	last := a.devFiles()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := a.devFiles()
		if now == last {
			continue
		}
		last = now
		before := a.loaded
		a.loaded = nil
		if _, err := a.config(); err != nil {
			a.loaded = before
			a.complain(err)
			continue
		}
		a.log.Info("configuration changed")
		if err := a.devApply(ctx, schemes); err != nil && ctx.Err() == nil {
			a.complain(err)
		}
	}
}

// devFiles is what the configuration files look like from outside.
func (a *app) devFiles() string {
	files := a.files
	if len(files) == 0 {
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
