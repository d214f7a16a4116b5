package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/lookonly"
	"github.com/sluice-go/sluice/service"
)

// The console's address unless another is given, and the bounds of its server.
const (
	consoleAddr       = "127.0.0.1:8090"
	consoleHeaderTime = 5 * time.Second
	consoleReadTime   = 30 * time.Second
	consoleWriteTime  = 2 * time.Minute
	consoleIdleTime   = 2 * time.Minute
	consoleDrainTime  = 5 * time.Second
)

// A consoleCommand serves the web console.
type consoleCommand struct {
	*app

	listen        string
	every         time.Duration
	tokenEnv      string
	trustedHeader string
	hosts         []string
	write, redact bool
	traceURL      string
	control       string
}

func newConsole(a *app) *cobra.Command {
	s := &consoleCommand{app: a}
	c := &cobra.Command{
		Use:   "console [QUEUE...]",
		Short: "Serve a web console about queues",
		Long: `Serves web pages about the given queues, or about all queues of the configuration:
their counts and the last hour of them, their settings and how these differ from the
configuration, the findings of doctor with their remedies, their dead letters by cause, and
the schedules and outbox rows of the delay_store.
With --write viewers can bring letters back, discard them, and pause and resume queues;
an audit log has who did what. Without it nothing can be changed.

It counts all queues once for all viewers, every --every, and receives no message for
it. The letters of SQS and Pub/Sub are shown by receiving them: the console does that
when a viewer asks for it, and says so before. An emulator of Pub/Sub without metrics can only be counted by receiving: there the
counts stay unknown.

It listens on the loopback interface, where whoever is on this machine can read it.
Anywhere else it needs one of these:
--token-env NAME: viewers log in with the token in the environment variable NAME.
--trusted-header NAME: a proxy that authenticates viewers names them in this header.
The console believes the header: its address must be reachable by the proxy only.
The console speaks plain HTTP. Put a proxy with TLS before it when it leaves the machine.`,
		Example: `  sluice console
  sluice console orders events --listen 127.0.0.1:9000 --every 1m
  sluice console --write --trace-url 'https://traces.example.com/trace/{trace_id}'
  CONSOLE_TOKEN=... sluice console --listen 0.0.0.0:8090 --token-env CONSOLE_TOKEN
  sluice console --listen 10.0.0.5:8090 --trusted-header X-Forwarded-User --host console.example.com`,
		Args:              a.someQueues,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args)
		},
	}
	f := c.Flags()
	addressVar(f, &s.listen, "listen", consoleAddr, "`ADDRESS` to listen on, HOST:PORT; port 0 is any that is free")
	s.every = console.DefaultEvery
	durationVar(f, &s.every, "every", "count the queues with this pause, at least 1s")
	f.StringVar(&s.tokenEnv, "token-env", "", "environment variable `NAME` that has the token with which viewers log in")
	f.StringVar(&s.trustedHeader, "trusted-header", "", "request header `NAME` in which a proxy names the viewer")
	f.BoolVar(&s.write, "write", false, "let viewers bring letters back, discard them, and pause and resume queues")
	f.BoolVar(&s.redact, "redact-bodies", false, "hide the bodies of letters")
	f.StringVar(&s.traceURL, "trace-url", "", "link letters to their traces at `URL`, which has {trace_id} and may have {span_id} in it")
	controlVar(c, &s.control)
	f.StringArrayVar(&s.hosts, "host", nil, "`NAME` by which browsers reach the console, besides those of loopback; repeatable")
	return c
}

func (s *consoleCommand) run(ctx context.Context, names []string) (err error) {
	conf, err := s.settings(names)
	if err != nil {
		return err
	}
	states := &controls{command: &controlCommand{app: s.app, url: s.control}, queues: conf.Queues}
	defer closing(states, &err)
	conf.Controls = states
	db, err := s.openOutbox(ctx, conf)
	if err != nil {
		return err
	}
	if db != nil {
		defer closing(db, &err)
	}
	c, err := console.New(conf)
	if err != nil {
		return &usageError{err}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", service.Loopback(s.listen))
	if err != nil {
		return usage("console: --listen: %w", err)
	}
	at := "http://" + l.Addr().String() + "/"
	err = s.print(struct {
		URL string `json:"url"`
	}{at}, "%s\n", at)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.log.Info("serving the console", "url", at, "queues", len(conf.Queues), "every", conf.Every)
	return s.serve(ctx, l, c)
}

// openOutbox gives the console the schedules and the table of the delay_store, and returns the
// table's database. Without a delay_store it opens nothing and returns nil.
func (s *consoleCommand) openOutbox(ctx context.Context, conf *console.Config) (io.Closer, error) {
	c, err := s.config()
	if err != nil || c.DelayStore() == "" {
		return nil, err
	}
	table, db, err := c.OpenTable(lookonly.Context(ctx))
	if err != nil {
		return nil, opening(err)
	}
	conf.Outbox, conf.Schedules = table, c.Schedules()
	return db, nil
}

// settings turns the flags into the console's configuration.
func (s *consoleCommand) settings(names []string) (*console.Config, error) {
	queues, err := s.queues(names)
	if err != nil {
		return nil, err
	}
	conf := &console.Config{
		Write: s.write, RedactBodies: s.redact, TraceURL: s.traceURL,
		Queues: queues, Mux: s.mux, Every: s.every, TrustedHeader: s.trustedHeader, Logger: s.log,
		Open: func(ctx context.Context, name string) (drivers.Source, error) {
			for i := range queues {
				if queues[i].Name == name && !queues[i].Configured {
					name = queues[i].Source // its name is its URL without secrets
				}
			}
			_, source, err := s.openExisting(ctx, name)
			return source, err
		},
		Handlers: (&doctorCommand{app: s.app, changed: func(string) bool { return false }}).handlers,
		Command:  adviser{s.app}.mend,
	}
	if s.compile != nil {
		conf.Compile = func(source string) (func(letters.Letter) bool, error) {
			e, err := s.compile(source)
			if err != nil {
				return nil, err
			}
			return e.Selects, nil
		}
	}
	for _, h := range s.hosts {
		if strings.ContainsAny(h, "/: ") {
			return nil, usage("console: --host %s: give a name without a scheme and a port", h)
		}
		conf.Hosts = append(conf.Hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	if s.traceURL != "" {
		u, err := url.Parse(strings.NewReplacer("{trace_id}", "0", "{span_id}", "0").Replace(s.traceURL))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !strings.Contains(s.traceURL, "{trace_id}") {
			return nil, usage("console: --trace-url %s: give the https address of a trace, with {trace_id} in it", s.traceURL)
		}
	}
	switch {
	case s.every < time.Second:
		return nil, usage("console: --every %s is below 1s", config.FormatDuration(s.every))
	case s.tokenEnv != "" && s.trustedHeader != "":
		return nil, usage("console: --token-env and --trusted-header exclude each other")
	case s.tokenEnv == "" && s.trustedHeader == "" && !onLoopback(service.Loopback(s.listen)):
		return nil, usage("console: --listen %s is not on the loopback interface: give --token-env or --trusted-header, so that not everybody can read it", s.listen)
	case s.tokenEnv != "":
		if conf.Token = os.Getenv(s.tokenEnv); len(conf.Token) < console.MinToken {
			return nil, usage("console: --token-env: $%s has %d bytes, and a token that cannot be guessed has at least %d: openssl rand -base64 24 makes one",
				s.tokenEnv, len(conf.Token), console.MinToken)
		}
	}
	return conf, nil
}

// queues returns the named queues, or all of the configuration.
func (s *consoleCommand) queues(names []string) ([]config.Queue, error) {
	c, err := s.config()
	if err != nil {
		return nil, err
	}
	queues := c.Queues()
	if len(names) > 0 {
		queues = nil
	}
	for _, n := range names {
		q, err := c.Queue(n)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(queues, func(other config.Queue) bool { return other.Name == q.Name }) {
			queues = append(queues, *q)
		}
	}
	if len(queues) == 0 {
		return nil, usage("console: no queue given%s", s.whatQueue())
	}
	return queues, nil
}

// onLoopback reports whether an address is on the loopback interface, and on no other.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // listening reports it
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serve serves the console until ctx is done.
func (s *consoleCommand) serve(ctx context.Context, l net.Listener, c *console.Console) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	looked := make(chan error, 1)
	go func() { looked <- c.Run(ctx) }()
	server := &http.Server{Handler: c, ReadHeaderTimeout: consoleHeaderTime, ReadTimeout: consoleReadTime,
		WriteTimeout: consoleWriteTime, IdleTimeout: consoleIdleTime, MaxHeaderBytes: 64 << 10}
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(s.stop.Now, consoleDrainTime)
		defer cancel()
		if server.Shutdown(drain) != nil {
			drained <- server.Close()
			return
		}
		drained <- nil
	}()
	err := server.Serve(l)
	end()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-drained, <-looked)
}
