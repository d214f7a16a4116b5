package breaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/idempotency"
)

// The defaults of [Config].
const (
	DefaultName         = "dependency"
	DefaultWindow       = 30 * time.Second
	DefaultMinCount     = 10
	UnknownFactor       = 5
	DefaultRatio        = 0.5
	DefaultOpenFor      = 5 * time.Second
	DefaultMaxOpenFor   = time.Minute
	DefaultProbes       = 1
	DefaultProbeTimeout = time.Minute
)

// Config says when a breaker opens and closes. The zero Config has the defaults.
type Config struct {
	// Name is the dependency's, for errors and logs. Empty means [DefaultName].
	Name string

	// Window is how long the outcome of a message counts. Zero means
	// [DefaultWindow].
	Window time.Duration

	// MinCount is how many outcomes there must be within the window before the
	// breaker opens. Zero means [DefaultMinCount]. A small one takes a few unlucky
	// messages for an outage.
	MinCount int

	// MinUnknown is how many outcomes there must be within the window before failures
	// open the breaker of which [backoff.Classify] does not know that they are a
	// dependency's: a mistake of the handler looks the same, and poison messages must
	// not stop the good ones. Zero means [UnknownFactor] times MinCount, or MinCount
	// itself if that is below [DefaultMinCount]. With a Failure of your own it does
	// not matter.
	MinUnknown int

	// Ratio is the part of those that must have failed, above 0 and up to 1.
	// Zero means [DefaultRatio].
	Ratio float64

	// OpenFor is how long it stays open before it probes, when it opens first.
	// Each probe that fails doubles it, up to MaxOpenFor. Zero means
	// [DefaultOpenFor]. Up to a fifth is added at random, so that many processes
	// do not probe together.
	OpenFor time.Duration

	// MaxOpenFor is the longest that it stays open before it probes. Zero means
	// [DefaultMaxOpenFor], or OpenFor if that is longer.
	MaxOpenFor time.Duration

	// Probes is how many messages must succeed before it closes, and how many
	// are let through for that at once. Zero means [DefaultProbes].
	Probes int

	// ProbeTimeout is how long a probe, or Check, may take before it counts as
	// failed. Zero means [DefaultProbeTimeout]. It should be longer than a
	// handler's usual time.
	ProbeTimeout time.Duration

	// Check asks the dependency whether it is up, and is called before messages
	// are let through as probes. Where it fails, the breaker opens again without
	// having cost a message an attempt. It is called by one goroutine at a time,
	// and only while someone wants to receive. Nil means that messages are the
	// only probes.
	Check func(ctx context.Context) error

	// Failure says whether a handler's error, which is never nil, speaks against
	// the dependency. It is called concurrently. Nil means [IsFailure], and that
	// errors of unknown kind count by MinUnknown.
	Failure func(err error) bool

	// OnChange is called after each change of state, with the error that opened
	// the breaker where it did. The calls come in order, one at a time, on the
	// path of a message, so it must be quick. Nil is not called.
	OnChange func(from, to State, cause error)

	// Logger gets a record for each change of state. Nil means slog.Default().
	Logger *slog.Logger

	// Random returns numbers from [0, 1), concurrently, to spread pauses. Nil
	// means math/rand/v2.
	Random func() float64

	named bool // Failure is the user's
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Name == "" {
		d.Name = DefaultName
	}
	if d.Window == 0 {
		d.Window = DefaultWindow
	}
	if d.MinCount == 0 {
		d.MinCount = DefaultMinCount
	}
	if d.MinUnknown == 0 {
		d.MinUnknown = d.MinCount
		if d.MinCount >= DefaultMinCount {
			d.MinUnknown = min(d.MinCount, math.MaxInt/UnknownFactor) * UnknownFactor
		}
	}
	if d.Ratio == 0 {
		d.Ratio = DefaultRatio
	}
	if d.OpenFor == 0 {
		d.OpenFor = DefaultOpenFor
	}
	if d.MaxOpenFor == 0 {
		d.MaxOpenFor = max(DefaultMaxOpenFor, d.OpenFor)
	}
	if d.Probes == 0 {
		d.Probes = DefaultProbes
	}
	if d.ProbeTimeout == 0 {
		d.ProbeTimeout = DefaultProbeTimeout
	}
	d.named = d.Failure != nil
	if !d.named {
		d.Failure = IsFailure
	}
	d.Logger = invoke.Logger(d.Logger)
	if d.Random == nil {
		d.Random = rand.Float64
	}
	return d
}

func (c *Config) validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Window", c.Window}, {"OpenFor", c.OpenFor}, {"ProbeTimeout", c.ProbeTimeout}} {
		if f.value <= 0 {
			faults = append(faults, fmt.Errorf("%s is %v, not above zero", f.name, f.value))
		}
	}
	if c.MaxOpenFor < c.OpenFor {
		faults = append(faults, fmt.Errorf("MaxOpenFor is %v, below the %v of OpenFor", c.MaxOpenFor, c.OpenFor))
	}
	if c.MinCount < 0 {
		faults = append(faults, fmt.Errorf("MinCount is %d, below zero", c.MinCount))
	}
	if c.MinUnknown < 0 {
		faults = append(faults, fmt.Errorf("MinUnknown is %d, below zero", c.MinUnknown))
	}
	if c.Probes < 0 {
		faults = append(faults, fmt.Errorf("Probes is %d, below zero", c.Probes))
	}
	if !(c.Ratio > 0 && c.Ratio <= 1) { // not a number is neither
		faults = append(faults, fmt.Errorf("Ratio is %v, not above 0 and up to 1", c.Ratio))
	}
	return errors.Join(faults...)
}

// IsFailure is what [Config.Failure] is by default: true for a retry and for a
// rejection with [handler.ErrExhausted], but not for an error that is permanent, a
// message that was put off ([handler.ErrPostponed]), a lost lease or claim, a shutdown, or a
// panic, which is a fault of the program.
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
