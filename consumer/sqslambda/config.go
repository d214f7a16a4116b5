package sqslambda

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of a [Config].
const (
	DefaultConcurrency = 10
	DefaultMargin      = time.Second
)

// Config configures a [Function]. The zero Config, and nil, are the defaults.
type Config struct {
	// Concurrency is how many handlers run at once for one event. Zero means
	// DefaultConcurrency, which is an event source mapping's default batch size.
	// Of a FIFO queue's event it is how many groups are handled at once.
	Concurrency int

	// Margin is how long before the end of the invocation the contexts of its
	// handlers end. Zero means DefaultMargin. Half of it is for handlers to
	// return once their context has ended; the rest for carrying verdicts out
	// and for the answer. Of an invocation that has less than four times as much
	// from the start, the margin is a quarter of what it has. AWS Lambda: it
	// counts from the function's timeout.
	Margin time.Duration

	// WholeBatch is for a function whose event source mapping does not have
	// ReportBatchItemFailures: where a message of the event has failed, Handle
	// returns an error, and Lambda retries all of them. Those that were handled
	// are deleted first, as far as SQS lets them, so that they do not come again.
	WholeBatch bool

	// Observers are told of every event, in this order. One that panics misses
	// that event, which is logged.
	Observers []handler.Observer

	// Logger is told of panics, of handlers that are out of time and of verdicts
	// that could not be carried out. Nil means slog.Default().
	Logger *slog.Logger

	// Name names this function in the failure attributes of dead letters. Empty
	// means the function's name and its log stream's, as the environment has
	// them, and outside Lambda host name and process ID.
	Name string
}

// withDefaults returns a copy with every zero field filled in.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Concurrency == 0 {
		d.Concurrency = DefaultConcurrency
	}
	if d.Margin == 0 {
		d.Margin = DefaultMargin
	}
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		d.Name = nameHere()
	}
	return d
}

func nameHere() string {
	if lambdacontext.FunctionName != "" {
		return lambdacontext.FunctionName + ":" + lambdacontext.LogStreamName
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// validate returns every fault of a Config whose defaults are filled in.
func (c *Config) validate() error {
	var faults []error
	if c.Concurrency < 1 {
		faults = append(faults, fmt.Errorf("Concurrency is %d: it must be at least 1", c.Concurrency))
	}
	if c.Margin < 0 {
		faults = append(faults, fmt.Errorf("Margin is %v: it must not be negative", c.Margin))
	}
	for i, o := range c.Observers {
		if o == nil {
			faults = append(faults, fmt.Errorf("Observers[%d] is nil", i))
		}
	}
	return errors.Join(faults...)
}
