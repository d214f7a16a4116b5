package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of a [Config].
const (
	DefaultConcurrency  = 16
	DefaultMaxPollers   = 4
	DefaultReceiveWait  = 20 * time.Second
	DefaultSettleDelay  = 10 * time.Millisecond
	DefaultDrainTimeout = 25 * time.Second
	DefaultStopTimeout  = 5 * time.Second
	DefaultGiveUpAfter  = 15 * time.Minute
)

// Config configures a [Consumer]. The zero Config, and nil, are the defaults.
type Config struct {
	// Concurrency is how many handlers run at once. Zero means
	// DefaultConcurrency. More cost memory only while they are in use. On SQS,
	// whose batches are of ten, 20 and more let receives ask for whole batches.
	Concurrency int

	// MaxPollers is how many receives may be on their way at once, a source.
	// Zero means DefaultMaxPollers. An idle queue has one.
	MaxPollers int

	// ReceiveWait is how long a receive waits for a message. Zero means
	// DefaultReceiveWait, which is also the longest. A shorter one costs more
	// requests on an idle queue and gains nothing: a message ends the wait.
	// SQS: WaitTimeSeconds.
	ReceiveWait time.Duration

	// SettleDelay is how long a verdict may wait for others to share a request
	// with. Zero means DefaultSettleDelay; negative means that verdicts are sent
	// at once, each in a request of its own.
	SettleDelay time.Duration

	// DrainTimeout is how long handlers may go on once Run's context is done.
	// Zero means DefaultDrainTimeout, which with DefaultStopTimeout fits into
	// the 30 seconds that Kubernetes and ECS give; negative cancels them at
	// once.
	DrainTimeout time.Duration

	// StopTimeout is how long handlers that were cancelled at the end of
	// DrainTimeout, and verdicts that are still to be sent, may take before Run
	// returns without them. Zero means DefaultStopTimeout.
	StopTimeout time.Duration

	// GiveUpAfter is how long a queue may refuse all requests (no permission,
	// expired credentials that the provider denies, a queue that was deleted)
	// before Run ends with its error. Zero means DefaultGiveUpAfter; negative
	// means never. Before the first success a refusal ends Run at the start: see
	// the package comment.
	GiveUpAfter time.Duration

	// StallAfter is how long no handler may start or return, though one could,
	// before health reports a stall: all handler slots are taken, or messages
	// could be received. Zero means the length of the lease, or a minute if that
	// is not known. With handlers that keep their lease for long (heartbeat) it
	// must be longer than they take.
	StallAfter time.Duration

	// UntilEmpty has Run return nil once the queue is drained: nothing is held
	// here, a receive has brought nothing, and the queue counts no visible, no
	// delayed and no in-flight message. Where the source cannot count (Pub/Sub)
	// it is drained when the retries that this consumer caused have come back
	// and several receives in a row have brought nothing.
	UntilEmpty bool

	// Gates can hold back receiving. All are asked before each receive.
	Gates []handler.Gate

	// Observers are told of every event, in this order.
	Observers []handler.Observer

	// Logger gets outages, panics with their stack, lost leases and verdicts
	// that could not be carried out. Nil means slog.Default(). A logger that
	// panics is survived: its record goes to standard error.
	Logger *slog.Logger

	// Name names this consumer in the failure attributes of dead letters. Empty
	// means host name and process ID.
	Name string
}

// withDefaults returns a copy with every zero field filled in.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	orDefault(&d.Concurrency, DefaultConcurrency)
	orDefault(&d.MaxPollers, DefaultMaxPollers)
	orDefault(&d.ReceiveWait, DefaultReceiveWait)
	orDefault(&d.SettleDelay, DefaultSettleDelay)
	orDefault(&d.DrainTimeout, DefaultDrainTimeout)
	orDefault(&d.StopTimeout, DefaultStopTimeout)
	orDefault(&d.GiveUpAfter, DefaultGiveUpAfter)
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		d.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns every fault of a Config whose defaults are filled in.
func (c *Config) validate(sources int) error {
	var faults []error
	for _, f := range []struct {
		name          string
		value, lowest int
	}{
		{"Concurrency", c.Concurrency, 1},
		{"MaxPollers", c.MaxPollers, 1},
	} {
		if f.value < f.lowest {
			faults = append(faults, fmt.Errorf("%s is %d: it must be at least %d", f.name, f.value, f.lowest))
		}
	}
	if c.Concurrency > 0 && c.Concurrency < sources {
		faults = append(faults, fmt.Errorf("Concurrency is %d for %d sources: each needs one, or it starves", c.Concurrency, sources))
	}
	if c.ReceiveWait < 0 || c.ReceiveWait > drivers.MaxWait {
		faults = append(faults, fmt.Errorf("ReceiveWait is %v: it must be above 0 and at most %v", c.ReceiveWait, drivers.MaxWait))
	}
	if c.StopTimeout < 0 {
		faults = append(faults, fmt.Errorf("StopTimeout is %v: it must not be negative", c.StopTimeout))
	}
	if c.StallAfter < 0 {
		faults = append(faults, fmt.Errorf("StallAfter is %v: it must not be negative", c.StallAfter))
	}
	for i, g := range c.Gates {
		if g == nil {
			faults = append(faults, fmt.Errorf("Gates[%d] is nil", i))
		}
	}
	for i, o := range c.Observers {
		if o == nil {
			faults = append(faults, fmt.Errorf("Observers[%d] is nil", i))
		}
	}
	return errors.Join(faults...)
}
