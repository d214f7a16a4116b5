package cli

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/exechandler"
	"github.com/sluice-go/sluice/handler/httphandler"
	"github.com/sluice-go/sluice/handler/webhook"
)

// workFlags name the handler of a run.
type workFlags struct {
	exec           string
	worker         bool
	workerMessages int
	http           string
	httpSecretEnv  string
}

func (f *workFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.exec, "exec", "", "`COMMAND` that handles a message")
	fl.BoolVar(&f.worker, "worker", false, "keep --exec's command running, for message after message as lines of JSON")
	fl.IntVar(&f.workerMessages, "worker-messages", 0, "replace a worker after `N` messages (default: never)")
	fl.StringVar(&f.http, "http", "", "`URL` that handles a message")
	fl.StringVar(&f.httpSecretEnv, "http-secret-env", "", "sign --http's requests with the secret, or secrets, in the environment variable `NAME`")
}

// check finds what is wrong with the flags by themselves.
func (f *workFlags) check(cmd *cobra.Command) error {
	switch {
	case f.exec == "" && f.http == "":
		return usage("run: give --exec or --http")
	case f.exec != "" && f.http != "":
		return usage("run: --exec and --http exclude each other")
	case f.worker && f.exec == "":
		return usage("run: --worker goes with --exec")
	case cmd.Flags().Changed("worker-messages") && !f.worker:
		return usage("run: --worker-messages goes with --worker")
	case cmd.Flags().Changed("worker-messages") && f.workerMessages < 1:
		return usage("run: --worker-messages %d is below 1", f.workerMessages)
	case cmd.Flags().Changed("http-secret-env") && f.http == "":
		return usage("run: --http-secret-env goes with --http")
	}
	return nil
}

// A work is the handler of a run, and what belongs to it.
type work struct {
	handler.Handler
	gates []handler.Gate
	// kill, which may be called at any time, ends what runs immediately.
	kill  func()
	close func() error
}

// work returns the handler that the flags name. limit is that of --timeout, zero if
// it is not given.
func (a *app) work(f *workFlags, concurrency int, limit time.Duration) (*work, error) {
	if f.http != "" {
		return a.httpWork(f, concurrency, limit)
	}
	words, err := exechandler.Split(f.exec)
	if err != nil {
		return nil, usage("--exec %w", err)
	}
	config := exechandler.Config{Logger: a.log}
	if !f.worker {
		h, err := exechandler.New(words, &config)
		if err != nil {
			return nil, usage("--exec: %w", err)
		}
		return &work{Handler: h, gates: []handler.Gate{h.Gate()}, kill: h.Kill, close: func() error { return nil }}, nil
	}
	p, err := exechandler.NewPool(words, &exechandler.PoolConfig{Config: config, Workers: concurrency, MaxMessages: f.workerMessages})
	if err != nil {
		return nil, usage("--exec: %w", err)
	}
	return &work{Handler: p, gates: []handler.Gate{p.Gate()}, kill: p.Kill, close: p.Close}, nil
}

func (a *app) httpWork(f *workFlags, concurrency int, limit time.Duration) (*work, error) {
	// Without a limit of --timeout's, requests have the default one: a connection of
	// HTTP/1 whose other end is gone looks like an endpoint that takes its time.
	config := httphandler.Config{Concurrency: concurrency, Logger: a.log}
	if limit > 0 {
		config.Timeout = -1
	}
	if name := f.httpSecretEnv; name != "" {
		// Several while one is rotated: neither base64 nor the prefix has spaces
		// or commas.
		secrets := strings.FieldsFunc(os.Getenv(name), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' || r == '\r' })
		if len(secrets) == 0 {
			return nil, usage("--http-secret-env: the environment variable %s is empty or not set", name)
		}
		signer, err := webhook.NewSigner(secrets...)
		if err != nil {
			return nil, usage("--http-secret-env %s: %w", name, err)
		}
		config.Signer = signer
	}
	h, err := httphandler.New(f.http, &config)
	if err != nil {
		return nil, usage("--http: %w", err)
	}
	return &work{Handler: h, gates: []handler.Gate{h.Gate()}, kill: func() {}, close: h.Close}, nil
}

// follow has the work killed when now ends, until the function that it returns is
// called.
func (w *work) follow(now context.Context) (stop func() bool) { return context.AfterFunc(now, w.kill) }
