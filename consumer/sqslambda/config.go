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

// Config configures a [Function]. The zero Config, like nil, selects the defaults.
type Config struct {
	// Concurrency bounds the handlers that run concurrently for one event. Zero means
	// 10, which is an event source mapping's default batch size. For an event of a
	// FIFO queue it bounds the groups that are handled concurrently.
	Concurrency int

	// Margin is the time between the end of the handlers' contexts and the end of the
	// invocation, when the function's timeout expires. Zero means a second. Half of
	// it is for handlers to return after their context has ended; the rest is for
	// carrying out verdicts and for the answer. Margin is at most a quarter of the
	// invocation's time.
	Margin time.Duration

	// WholeBatch is for a function whose event source mapping lacks
	// ReportBatchItemFailures. If a message of the event has failed, Handle returns
	// an error, and Lambda retries all of them. Handle first tries to delete the
	// handled messages, so that they are not redelivered.
	WholeBatch bool

	// Observers receive every event, in this order. If one panics, that is logged,
	// and it misses the event.
	Observers []handler.Observer

	// Logger receives panics, handlers that exceed their time, and verdicts that
	// could not be carried out. Nil means slog.Default().
	Logger *slog.Logger

	// Name names this function in the failure attributes of dead letters. Empty means
	// the names of the function and its log stream, from the environment, and outside
	// of Lambda the host name and process ID.
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
