package exechandler

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of [Config] and [PoolConfig].
const (
	DefaultKillGrace  = 5 * time.Second
	DefaultWorkers    = 16
	DefaultStopGrace  = 5 * time.Second
	DefaultMinRestart = 100 * time.Millisecond
	DefaultMaxRestart = 30 * time.Second
)

// Config says how a command is run. The zero Config has the defaults.
type Config struct {
	// Dir is the command's working directory. Empty means this process's.
	Dir string

	// Env is the command's environment, as NAME=value, to which the message's
	// variables are added. Nil means this process's; variables of a message that
	// this process is itself run for are left out of either.
	Env []string

	// KillGrace is how long a command has between SIGTERM and SIGKILL, and how
	// long a process that it left behind may hold its output open. Zero means
	// [DefaultKillGrace]. It should be shorter than what the consumer's
	// StopTimeout leaves.
	KillGrace time.Duration

	// Logger gets a record, at level Info, for each line that a command writes
	// to standard error or, once a message, to standard output. Nil means
	// slog.Default(). What a command writes of a message gets there.
	Logger *slog.Logger
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Env == nil {
		d.Env = os.Environ()
	}
	d.Env = withoutMessage(d.Env)
	if d.KillGrace == 0 {
		d.KillGrace = DefaultKillGrace
	}
	d.Logger = invoke.Logger(d.Logger)
	return d
}

func (c *Config) validate() []error {
	if c != nil && c.KillGrace < 0 {
		return []error{fmt.Errorf("KillGrace is %v, below zero", c.KillGrace)}
	}
	return nil
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

// PoolConfig says how workers are kept. The zero PoolConfig has the defaults.
type PoolConfig struct {
	Config

	// Workers is how many processes there are at most. They are started when
	// there are messages for them. Zero means [DefaultWorkers]. It should be the
	// consumer's Concurrency: with fewer, messages wait for a worker while their
	// leases run.
	Workers int

	// MaxMessages is how many messages a worker gets before it is replaced, for
	// one that grows. Zero means no limit.
	MaxMessages int

	// StopGrace is how long a worker may take to end after its standard input
	// was closed, before SIGTERM. Zero means [DefaultStopGrace].
	StopGrace time.Duration

	// MinRestart and MaxRestart bound how long after a failure of a worker the
	// next one is started: MinRestart after the first, twice as long after each
	// further one, until a worker has answered. Zero means [DefaultMinRestart]
	// and [DefaultMaxRestart].
	MinRestart, MaxRestart time.Duration
}

func (c *PoolConfig) withDefaults() PoolConfig {
	var d PoolConfig
	if c != nil {
		d = *c
	}
	d.Config = d.Config.withDefaults()
	if d.Workers == 0 {
		d.Workers = DefaultWorkers
	}
	orDefault(&d.StopGrace, DefaultStopGrace)
	orDefault(&d.MinRestart, DefaultMinRestart)
	orDefault(&d.MaxRestart, max(DefaultMaxRestart, d.MinRestart))
	return d
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func (c *PoolConfig) validate() []error {
	if c == nil {
		return nil
	}
	faults := c.Config.validate()
	below := func(name string, value any, is bool) {
		if is {
			faults = append(faults, fmt.Errorf("%s is %v, below zero", name, value))
		}
	}
	below("Workers", c.Workers, c.Workers < 0)
	below("MaxMessages", c.MaxMessages, c.MaxMessages < 0)
	below("StopGrace", c.StopGrace, c.StopGrace < 0)
	below("MinRestart", c.MinRestart, c.MinRestart < 0)
	below("MaxRestart", c.MaxRestart, c.MaxRestart < 0)
	if c.MaxRestart > 0 && c.MaxRestart < c.MinRestart {
		faults = append(faults, errors.New("MaxRestart is below MinRestart"))
	}
	return faults
}
