package breaker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// defaultMinCount is Config.MinCount's default, from which MinUnknown is a multiple of
// it, by unknownFactor.
const (
	defaultMinCount = 10
	unknownFactor   = 5
)

// Config says when a breaker opens and closes. The zero Config has the defaults.
type Config struct {
	// Name is the dependency's, for errors and logs. Empty means
	// "dependency".
	Name string

	// Window is how long the outcome of a message counts. Zero means
	// 30 seconds.
	Window time.Duration

	// MinCount is how many outcomes there must be within the window before the
	// breaker opens. Zero means 10. A small one takes a few unlucky
	// messages for an outage.
	MinCount int

	// MinUnknown is the number of outcomes within the window before failures of
	// unknown origin ([backoff.Classify] returns Unknown) open the breaker. A bug of
	// the handler looks the same, and poison messages must not stop the good ones.
	// Zero means five times MinCount, or MinCount itself if that is below 10. With a
	// Failure of your own it does not matter.
	MinUnknown int

	// Ratio is the part of those that must have failed, above 0 and up to 1.
	// Zero means 0.5.
	Ratio float64

	// OpenFor is how long it stays open before it probes, when it opens first.
	// Each probe that fails doubles it, up to MaxOpenFor. Zero means
	// 5 seconds. Up to a fifth is added at random, so that many processes
	// do not probe together.
	OpenFor time.Duration

	// MaxOpenFor is the longest that it stays open before it probes. Zero means
	// a minute, or OpenFor if that is longer.
	MaxOpenFor time.Duration

	// Probes is how many messages must succeed before it closes, and how many
	// are let through for that at the same time. Zero means 1.
	Probes int

	// ProbeTimeout is how long a probe, or Check, may take before it counts as
	// failed. Zero means a minute. It should be longer than a
	// handler's usual time.
	ProbeTimeout time.Duration

	// Check asks the dependency whether it is up, and is called before messages
	// are let through as probes. If it fails, the breaker opens again without
	// having cost a message an attempt. It is called by one goroutine at a time,
	// and only while someone wants to receive. Nil means that messages are the
	// only probes.
	Check func(ctx context.Context) error

	// Failure reports whether a handler's error, which is never nil, counts as a
	// failure of the dependency. It is called concurrently. Nil means [IsFailure],
	// and that errors of unknown kind count by MinUnknown.
	Failure func(err error) bool

	// OnChange is called after each change of state, with the error that opened
	// the breaker if it did. The calls come in order, one at a time, on the
	// path of a message, so it must be quick. Nil is not called.
	OnChange func(from, to State, cause error)

	// Logger gets a record for each change of state. Nil means slog.Default().
	Logger *slog.Logger

	// Random returns numbers from [0, 1), concurrently, to spread pauses. Nil
	// means math/rand/v2.
	Random func() float64

	named bool // Failure is the user's
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Name = cmp.Or(d.Name, "dependency")
	d.named = d.Failure != nil
	if !d.named {
		d.Failure = IsFailure
	}
	d.Logger = invoke.Logger(d.Logger)
	if d.Random == nil {
		d.Random = rand.Float64
	}
	faults := []error{
		setting.Default("Window", &d.Window, 30*time.Second),
		setting.Default("MinCount", &d.MinCount, defaultMinCount),
		setting.Range("Ratio", &d.Ratio, 0, 1, 0.5),
		setting.Default("OpenFor", &d.OpenFor, 5*time.Second),
		setting.Default("Probes", &d.Probes, 1),
		setting.Default("ProbeTimeout", &d.ProbeTimeout, time.Minute),
	}
	unknown := d.MinCount
	if d.MinCount >= defaultMinCount {
		unknown = min(d.MinCount, math.MaxInt/unknownFactor) * unknownFactor
	}
	return d, errors.Join(append(faults,
		setting.Default("MinUnknown", &d.MinUnknown, unknown),
		setting.Default("MaxOpenFor", &d.MaxOpenFor, max(time.Minute, d.OpenFor)),
		setting.Refuse(d.MaxOpenFor < d.OpenFor, "MaxOpenFor is %v: it must not be below OpenFor, %v", d.MaxOpenFor, d.OpenFor),
	)...)
}

// IsFailure is the default of [Config.Failure]. It reports true for a retry and for a
// rejection with [handler.ErrExhausted], and false for a permanent error, a postponed
// message ([handler.ErrPostponed]), a lost lease or claim, a shutdown, and a panic, which is
// a bug of the program.
func IsFailure(err error) bool {
	if _, panicked := invoke.As[*handler.PanicError](err); panicked {
		return false
	}
	for _, ours := range []error{handler.ErrPostponed, handler.ErrLeaseLost, handler.ErrStopped, idempotency.ErrClaimLost} {
		if invoke.Is(err, ours) {
			return false
		}
	}
	if backoff.Classify(err) == backoff.Permanent {
		return false
	}
	switch invoke.VerdictOf(err).Action {
	case handler.ActionRetry:
		return true
	case handler.ActionDeadLetter:
		return invoke.Is(err, handler.ErrExhausted)
	default:
		return false
	}
}
