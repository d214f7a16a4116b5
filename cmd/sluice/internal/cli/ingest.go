package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/service"
)

// The times that a sender of webhooks has.
const (
	ingestHeaderTime = 5 * time.Second
	ingestReadTime   = 15 * time.Second
	ingestIdleTime   = time.Minute
)

// An ingestCommand takes webhooks and queues them.
type ingestCommand struct {
	*app
	senders senderFlags

	headers  []string
	maxDepth int
	claim    string
}

func newIngest(a *app) *cobra.Command {
	i := &ingestCommand{app: a}
	c := &cobra.Command{
		Use:   "ingest ADDR QUEUE --github-secret-env NAME",
		Short: "Take webhooks by HTTP and queue them",
		Long: `Serves HTTP at ADDR, verifies webhooks, queues them and answers, until SIGINT, SIGTERM,
SIGQUIT or SIGHUP. An ADDR without a host is on 127.0.0.1. Put a proxy with TLS before
it.

Each flag names a sender and the environment variable with its secrets, one a line while
one is being changed. The endpoint of a sender is /standard, /stripe, /github, /slack,
/shopify or /sns, and if there is one sender, any path but /livez and /readyz. SNS signs
with a key of its own: --sns-topic names the topics whose notifications are taken and
whose subscriptions are confirmed.

A message's body is the request's, its dedupe ID is the event's ID as the sender gives
it, after the sender's name and a colon if there are several senders, and its attributes
are content-type, type (the kind of the event) and those of --header. An event that is sent twice is one message of a FIFO queue; elsewhere "run
--idempotency" handles it once.

The answer is 202 when the queue has the event, 200 to a handshake (Slack's
url_verification, GitHub's ping, SNS's confirmation), 401 if the signature or the
timestamp is wrong, 413 if the event is too large, 429 if the queue has --max-depth
messages or too many requests are served, and 503 if the queue can't be reached. 429 and
503 have Retry-After. /livez and /readyz answer 200; /readyz 503 once sluice stops.`,
		Example: `  GITHUB_SECRET=... sluice ingest 8080 hooks --github-secret-env GITHUB_SECRET
  sluice ingest :8080 awssqs:///hooks.fifo --stripe-secret-env STRIPE_SECRET --slack-secret-env SLACK_SECRET
  sluice ingest 0.0.0.0:8080 hooks --sns-topic arn:aws:sns:eu-west-1:123456789012:orders`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no address given: give HOST:PORT, or a port, which is then on 127.0.0.1")
			}
			return a.oneQueue(cmd, args[1:])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.run(cmd, args[0], args[1])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeQueues(cmd, args, word)
		},
	}
	i.senders.add(c)
	fl := c.Flags()
	fl.StringArrayVar(&i.headers, "header", nil, "request header `NAME` that becomes an attribute; repeatable")
	fl.IntVar(&i.maxDepth, "max-depth", 0, "answer 429 while the queue has `N` visible messages (default: never)")
	claimVar(fl, &i.claim, "keep a body that is too large for many queues, from 240 KiB on,")
	return c
}

func (i *ingestCommand) run(cmd *cobra.Command, addr, queue string) (err error) {
	ctx := cmd.Context()
	if problem := addressProblem(addr); problem != "" {
		return usage("ingest: the address %s", problem)
	}
	providers, err := i.senders.providers(i.log)
	if err != nil {
		return err
	}
	q, sink, err := i.openSink(ctx, queue)
	if err != nil {
		return err
	}
	p, closeQueue, err := i.producer(ctx, queue, sink)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer func() { err = errors.Join(err, closeQueue()) }()
	mux, err := i.routes(providers, p)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", service.Loopback(addr))
	if err != nil {
		return usage("ingest: %w", err)
	}
	i.log.Info("taking webhooks", "url", "http://"+l.Addr().String(), "queue", label(q, sink.Capabilities()))
	return i.serve(ctx, l, mux)
}

// producer returns a producer that restrains senders by --max-depth, and the function
// that closes it and what belongs to it.
func (i *ingestCommand) producer(ctx context.Context, queue string, sink drivers.Sink) (*producer.Producer, func() error, error) {
	large, err := newClaims(ctx, "ingest", i.claim)
	if err != nil {
		return nil, nil, err
	}
	conf := producer.Config{Prepare: large.prepare(nil), Logger: i.log}
	closers := []func() error{large.Close}
	closeAll := func() (err error) {
		for n := len(closers) - 1; n >= 0; n-- {
			err = errors.Join(err, closers[n]())
		}
		return err
	}
	if i.maxDepth > 0 {
		_, source, err := i.openSource(ctx, queue)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closers = append(closers, source.Close)
		inspector, err := ability[drivers.Inspector](source, "depth")
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		conf.Pressure = &producer.Pressure{Inspector: inspector, High: int64(i.maxDepth), Overload: producer.Refuse}
	}
	p, err := producer.New(sink, &conf)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	closers = append(closers, p.Close)
	return p, closeAll, nil
}

// routes returns the handler of each sender's path.
func (i *ingestCommand) routes(providers map[string]inbox.Provider, queue inbox.Sender) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	for name, p := range providers {
		conf := &inbox.Config{Headers: i.headers, Logger: i.log}
		if len(providers) > 1 {
			conf.Namespace = name // senders choose their IDs, and one must not take another's
		}
		in, err := inbox.New(p, queue, conf)
		if err != nil {
			return nil, usage("ingest: --header: %w", err)
		}
		mux.Handle("/"+name, in)
		if len(providers) == 1 {
			mux.Handle("/", in)
		}
	}
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if i.stop.Stop.Err() != nil {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
		}
	})
	return mux, nil
}

// serve serves until ctx is done, and then finishes the requests that it has. The second
// signal cuts them off.
func (i *ingestCommand) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: ingestHeaderTime, ReadTimeout: ingestReadTime, IdleTimeout: ingestIdleTime, MaxHeaderBytes: 64 << 10}
	ctx, end := context.WithCancel(ctx)
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(i.stop.Now, drainTime)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			drained <- errors.Join(errors.New("requests were cut off: their senders send them again"), server.Close())
			return
		}
		drained <- nil
	}()
	err := server.Serve(l)
	end()
	if rest := <-drained; errors.Is(err, http.ErrServerClosed) {
		return rest
	}
	return err
}
