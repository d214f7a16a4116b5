package cli

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
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
	types          typeFlags
}

func (f *workFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.exec, "exec", "", "`COMMAND` that handles a message")
	fl.StringArrayVar(&f.types.commands, "type", nil, "`KIND=COMMAND` that handles the messages whose attribute type is KIND; repeatable")
	durationVar(fl, &f.types.grace, "type-grace", "postpone a message of another kind for this long, then reject it (default 10m)")
	fl.BoolVar(&f.worker, "worker", false, "keep --exec's command running, for message after message as lines of JSON")
	fl.IntVar(&f.workerMessages, "worker-messages", 0, "replace a worker after `N` messages (default: never)")
	fl.StringVar(&f.http, "http", "", "`URL` that handles a message")
	fl.StringVar(&f.httpSecretEnv, "http-secret-env", "", "sign --http's requests with the secret, or secrets, in the environment variable `NAME`")
}

// check finds what is wrong with the flags by themselves.
func (f *workFlags) check() error {
	switch {
	case f.exec == "" && f.http == "" && len(f.types.commands) == 0:
		return usage("run: give --exec, --http or --type")
	case f.exec != "" && f.http != "":
		return usage("run: --exec and --http exclude each other")
	case len(f.types.commands) > 0 && (f.exec != "" || f.http != ""):
		return usage("run: --type excludes --exec and --http")
	case f.types.grace > 0 && len(f.types.commands) == 0:
		return usage("run: --type-grace goes with --type")
	case f.worker && f.exec == "" && len(f.types.commands) == 0:
		return usage("run: --worker goes with --exec and --type")
	case f.workerMessages > 0 && !f.worker:
		return usage("run: --worker-messages goes with --worker")
	case f.httpSecretEnv != "" && f.http == "":
		return usage("run: --http-secret-env goes with --http")
	}
	return nil
}

// open returns the handler that the flags name. limit is that of --timeout, zero if
// it is not given.
func (f *workFlags) open(log *slog.Logger, concurrency int, limit time.Duration) (*work, error) {
	if f.http != "" {
		return f.openHTTP(log, concurrency, limit)
	}
	command := func(words []string) (*work, error) { return f.openCommand(log, words, concurrency) }
	if len(f.types.commands) > 0 {
		return f.types.open(log, command)
	}
	words, err := commandWords(f.exec)
	if err != nil {
		return nil, usage("--exec %w", err)
	}
	w, err := command(words)
	if err != nil {
		return nil, usage("--exec: %w", err)
	}
	return w, nil
}

var (
	// quotation matches what is quoted in a command line.
	quotation = regexp.MustCompile(`(?s)\\.|'[^']*'|"(?:\\.|[^"\\])*"`)
	// operator matches what only a shell understands: a pipe, a list or a redirection. A
	// bare & in a word is more likely one of a URL.
	operator = regexp.MustCompile(`[0-9&]?(?:>[>&|]?|<[<&>]?)|\|[|&]?|;|&&|&(?:\s|$)`)
)

// commandWords splits a command line. It refuses an operator of the shell, unless it is
// quoted: "echo done >> log" would be an echo of it all, which acks the message.
func commandWords(line string) ([]string, error) {
	words, err := exechandler.Split(line)
	if err != nil {
		return nil, err
	}
	if op := strings.TrimSpace(operator.FindString(quotation.ReplaceAllString(line, "_"))); op != "" {
		return nil, fmt.Errorf("%q: no shell runs the command, and %s would be text for it: write sh -c '…', or quote the %[2]s", line, op)
	}
	return words, nil
}

// openCommand returns the handler that runs a command, once a message or as workers.
func (f *workFlags) openCommand(log *slog.Logger, words []string, concurrency int) (*work, error) {
	config := exechandler.Config{Logger: log}
	if !f.worker {
		h, err := exechandler.New(words, &config)
		if err != nil {
			return nil, err
		}
		return &work{Handler: h, gates: []handler.Gate{h.Gate()}, kill: h.Kill, close: func() error { return nil }}, nil
	}
	p, err := exechandler.NewPool(words, &exechandler.PoolConfig{Config: config, Workers: concurrency, MaxMessages: f.workerMessages})
	if err != nil {
		return nil, err
	}
	return &work{Handler: p, gates: []handler.Gate{p.Gate()}, kill: p.Kill, close: p.Close}, nil
}

func (f *workFlags) openHTTP(log *slog.Logger, concurrency int, limit time.Duration) (*work, error) {
	// Without a limit of --timeout's, requests have the default one: a connection of
	// HTTP/1 whose other end is gone looks like an endpoint that takes its time.
	config := httphandler.Config{Concurrency: concurrency, Logger: log}
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

// A work is the handler of a run, and what belongs to it.
type work struct {
	handler.Handler
	gates []handler.Gate
	// kill, which may be called at any time, ends what runs immediately.
	kill  func()
	close func() error
}

// Gates returns the gates of the handler, for its service.
func (w *work) Gates() []handler.Gate { return w.gates }
