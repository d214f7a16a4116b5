package exechandler

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// DefaultKillGrace is the default of [Config].KillGrace.
const DefaultKillGrace = 5 * time.Second

// Config configures how a command is run. The zero Config has the defaults.
type Config struct {
	// Dir is the command's working directory. Empty means this process's.
	Dir string

	// Env is the command's environment, as NAME=value, to which the message's
	// variables are added. Nil means this process's; variables of a message that
	// this process is itself run for are left out of either.
	Env []string

	// KillGrace is how long a command has between SIGTERM and SIGKILL, and how
	// long a process that it left behind may hold its output open. Zero means
	// DefaultKillGrace. It should be shorter than the consumer's StopTimeout.
	KillGrace time.Duration

	// Logger gets a record, at level Info, for each line that a command writes
	// to standard error or, once a message, to standard output. Nil means
	// slog.Default(). The output of a command about a message goes there.
	Logger *slog.Logger
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	if d.Env == nil {
		d.Env = os.Environ()
	}
	d.Env = withoutMessage(d.Env)
	d.Logger = invoke.Logger(d.Logger)
	return d, setting.Default("KillGrace", &d.KillGrace, DefaultKillGrace)
}

// withoutMessage returns an environment without what is of a message.
func withoutMessage(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "SLUICE_MESSAGE_ID", "SLUICE_ATTEMPT", "SLUICE_GROUP", "SLUICE_DEDUPE_ID", "SLUICE_QUEUE", "TRACEPARENT", "TRACESTATE", leftOut:
			continue
		}
		if !strings.HasPrefix(name, "SLUICE_ATTR") {
			kept = append(kept, v)
		}
	}
	return kept
}

// PoolConfig configures a pool of workers. The zero PoolConfig has the
// defaults.
type PoolConfig struct {
	Config

	// Workers is how many processes there are at most. They are started when
	// there are messages for them. Zero means 16. It should be the
	// consumer's Concurrency: with fewer, messages wait for a worker while their
	// leases run.
	Workers int

	// MaxMessages is how many messages a worker gets before it is replaced, for
	// one that grows. Zero means no limit.
	MaxMessages int

	// StopGrace is how long a worker may take to end after its standard input
	// was closed, before SIGTERM. Zero means 5 seconds.
	StopGrace time.Duration

	// MinRestart and MaxRestart bound how long after a failure of a worker the
	// next one is started: MinRestart after the first, twice as long after each
	// further one, until a worker has answered. Zero means 100 ms and
	// 30 seconds.
	MinRestart, MaxRestart time.Duration
}

// complete returns a copy of c with its defaults, and its faults.
func (c *PoolConfig) complete() (PoolConfig, error) {
	d := setting.Copy(c)
	var err error
	d.Config, err = d.Config.complete()
	faults := []error{
		err,
		setting.Default("Workers", &d.Workers, 16),
		setting.NotNegative("MaxMessages", d.MaxMessages),
		setting.Default("StopGrace", &d.StopGrace, 5*time.Second),
		setting.Default("MinRestart", &d.MinRestart, 100*time.Millisecond),
	}
	return d, errors.Join(append(faults,
		setting.Default("MaxRestart", &d.MaxRestart, max(30*time.Second, d.MinRestart)),
		setting.Refuse(d.MaxRestart >= 0 && d.MaxRestart < d.MinRestart, "MaxRestart is %v: it must not be below MinRestart, %v", d.MaxRestart, d.MinRestart),
	)...)
}
