package console

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/outbox"
)

// DefaultEvery is how often queues are counted.
const DefaultEvery = 15 * time.Second

// MinToken is the least length of a token, in bytes. A shorter one can be guessed.
const MinToken = 16

// A Config configures a [Console].
type Config struct {
	// Queues are the queues that it shows, in this order.
	Queues []config.Queue
	// Mux opens them to examine and to plan.
	Mux *drivers.Mux
	// Open opens a queue for counting. It must not create it. Nil opens by Mux.
	Open func(ctx context.Context, name string) (drivers.Source, error)
	// Handlers describes the handlers of a queue, for findings. Nil means unknown.
	Handlers func(*config.Queue) admin.Handlers
	// Command words the remedy of a finding as a command line, and what there is to say
	// of it. Nil shows none.
	Command func(*admin.Finding) (line, note string)
	// Compile compiles the expressions by which viewers select letters. Nil means that
	// the program was built without expressions.
	Compile func(source string) (func(letters.Letter) bool, error)
	// Every is the pause between counts. Zero means [DefaultEvery].
	Every time.Duration
	// Controls pauses and resumes queues. Nil means that none can be.
	Controls Controls
	// Outbox is the table of the delay_store, and Schedules are those of the configuration.
	// A nil Outbox means that there is no delay_store: neither is shown.
	Outbox    Outbox
	Schedules []outbox.Schedule
	// Write lets viewers bring letters back, discard them, and pause queues.
	Write bool
	// RedactBodies has no body shown, and none kept.
	RedactBodies bool
	// TraceURL is the address of a trace, with {trace_id} and {span_id} in it. Empty
	// leaves links to traces out.
	TraceURL string
	// Token is the secret with which viewers log in. Empty asks for none.
	Token string
	// TrustedHeader names the request header in which a proxy reports the viewer.
	// Requests without it are refused. Empty trusts none.
	TrustedHeader string
	// Hosts are the names by which the console is reached. None means the names of
	// the loopback interface or, with a Token or a TrustedHeader, any.
	Hosts []string
	// Logger receives logins, failures and what viewers do. It must be given.
	Logger *slog.Logger
}

// guarded reports whether viewers must say who they are.
func (c *Config) guarded() bool { return c.Token != "" || c.TrustedHeader != "" }

// complete returns a copy of c with its defaults.
func (c *Config) complete() (Config, error) {
	out := *c
	if out.Every == 0 {
		out.Every = DefaultEvery
	}
	if out.Open == nil {
		byName := make(map[string]*config.Queue, len(out.Queues))
		for i := range out.Queues {
			byName[out.Queues[i].Name] = &out.Queues[i]
		}
		out.Open = func(ctx context.Context, name string) (drivers.Source, error) {
			return byName[name].OpenSource(ctx, out.Mux, out.Logger)
		}
	}
	switch {
	case out.Every < time.Second:
		return out, errors.New("console: Every is shorter than a second")
	case out.Token != "" && out.TrustedHeader != "":
		return out, errors.New("console: a Token and a TrustedHeader exclude each other")
	case out.Token != "" && len(out.Token) < MinToken:
		return out, errors.New("console: the token is shorter than 16 bytes, so that it can be guessed")
	}
	return out, nil
}
