package sqslambda

import (
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures a [Function]. The zero Config, and nil, are the defaults.
type Config struct {
	// Concurrency is how many handlers run at once for one event. Zero means
	// 10, which is an event source mapping's default batch size.
	// Of a FIFO queue's event it is how many groups are handled at once.
	Concurrency int

	// Margin is how long before the end of the invocation the contexts of its
	// handlers end. Zero means a second. Half of it is for handlers to
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

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		d.Name = nameHere()
	}
	return d, errors.Join(
		setting.Default("Concurrency", &d.Concurrency, 10),
		setting.Default("Margin", &d.Margin, time.Second),
		setting.NotNil("Observers", d.Observers),
	)
}

func nameHere() string {
	if lambdacontext.FunctionName != "" {
		return lambdacontext.FunctionName + ":" + lambdacontext.LogStreamName
	}
	return verdict.ProcessName()
}
