package consumer

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// DefaultConcurrency is the default of [Config].Concurrency.
const DefaultConcurrency = 16

// Config configures a [Consumer]. The zero Config, and nil, are the defaults.
type Config struct {
	// Concurrency is the number of handlers that may run concurrently. Zero means
	// DefaultConcurrency. More cost memory only while they are in use. On SQS,
	// which has batches of ten, 20 and more let receives ask for whole batches.
	Concurrency int

	// MaxPollers is the number of receives that may be on their way concurrently,
	// for each source. Zero means 4. An idle queue has one.
	MaxPollers int

	// ReceiveWait is how long a receive waits for a message. Zero means
	// 20 seconds, which is also the longest. A shorter one costs more
	// requests on an idle queue and gains nothing: a message ends the wait.
	// SQS: WaitTimeSeconds.
	ReceiveWait time.Duration

	// SettleDelay is how long a verdict may wait for others to share a request
	// with. Zero means 10 ms. Negative means that each verdict is sent immediately
	// in a separate request.
	SettleDelay time.Duration

	// DrainTimeout is how long handlers may continue after Run's context is done.
	// Zero means 25 seconds, which with StopTimeout's default fits into the 30
	// seconds that Kubernetes and ECS give; negative cancels them immediately.
	DrainTimeout time.Duration

	// StopTimeout is how long handlers that were canceled at the end of
	// DrainTimeout, and verdicts that are still to be sent, may take before Run
	// returns without them. Zero means 5 seconds.
	StopTimeout time.Duration

	// GiveUpAfter is how long a queue may refuse all requests (no permission,
	// expired credentials that the provider denies, a queue that was deleted)
	// before Run ends with its error. Zero means 15 minutes; negative
	// means never. Before the first success a refusal ends Run at the start: see
	// the package comment.
	GiveUpAfter time.Duration

	// StallAfter is how long no handler may start or return, though one could,
	// before health reports a stall: all handler slots are taken, or messages
	// could be received. Zero means the length of the lease, or a minute if that
	// is unknown. With handlers that keep their lease for long (heartbeat) it
	// must be longer than they take.
	StallAfter time.Duration

	// UntilEmpty makes Run return nil when the queue is drained: the consumer
	// holds no message, a receive returned none, and the queue counts no visible,
	// delayed or in-flight message. If the source cannot count (Pub/Sub), the
	// queue is drained when this consumer's retries have been redelivered and
	// several consecutive receives returned no message.
	UntilEmpty bool

	// Gates can hold back receiving. All are asked before each receive.
	Gates []handler.Gate

	// Observers receive every event, in this order.
	Observers []handler.Observer

	// Logger gets outages, panics with their stack, lost leases and verdicts
	// that could not be carried out. Nil means slog.Default(). If the logger
	// panics, the record goes to standard error.
	Logger *slog.Logger

	// QuietStop leaves out the record that a stop was asked for, for a program that runs
	// several consumers and logs that once.
	QuietStop bool

	// Name names this consumer in the failure attributes of dead letters. Empty
	// means host name and process ID.
	Name string
}

// complete returns a copy of c with its defaults, and its faults, for a consumer of so
// many sources.
func (c *Config) complete(sources int) (Config, error) {
	d := setting.Copy(c)
	d.SettleDelay = cmp.Or(d.SettleDelay, 10*time.Millisecond)
	d.DrainTimeout = cmp.Or(d.DrainTimeout, 25*time.Second)
	d.GiveUpAfter = cmp.Or(d.GiveUpAfter, 15*time.Minute)
	d.Logger = invoke.Logger(d.Logger)
	if d.Name == "" {
		d.Name = verdict.ProcessName()
	}
	faults := []error{
		setting.Default("Concurrency", &d.Concurrency, DefaultConcurrency),
		setting.Default("MaxPollers", &d.MaxPollers, 4),
		setting.Range("ReceiveWait", &d.ReceiveWait, 0, drivers.MaxWait, drivers.MaxWait),
		setting.Default("StopTimeout", &d.StopTimeout, 5*time.Second),
		setting.NotNegative("StallAfter", d.StallAfter),
		setting.NotNil("Gates", d.Gates),
		setting.NotNil("Observers", d.Observers),
	}
	return d, errors.Join(append(faults,
		setting.Refuse(d.Concurrency > 0 && d.Concurrency < sources, "Concurrency is %d for %d sources: each needs one, or it starves", d.Concurrency, sources),
	)...)
}

// linger is how long a request may wait for others to share it.
func (c *Config) linger() time.Duration { return max(c.SettleDelay, 0) }
