package backoff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	cenkalti "github.com/cenkalti/backoff/v4"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// Jitter selects how a delay is randomized, so that messages that failed
// together do not return together.
type Jitter uint8

// The kinds of jitter.
const (
	// FullJitter takes any delay between zero and the computed one. It spreads
	// the load best, and halves the delays on average.
	FullJitter Jitter = iota
	// EqualJitter takes any delay between half the computed one and all of it:
	// for a dependency that needs to be left alone for a while.
	EqualJitter
	// NoJitter takes the computed delay.
	NoJitter
)

// Config describes how retries are spaced. The zero Config has the defaults.
type Config struct {
	// Policy gives the delays in place of Min, Max and Multiplier. Of a
	// *backoff.ExponentialBackOff (github.com/cenkalti/backoff/v4) its initial and
	// maximum intervals and its multiplier are taken; its RandomizationFactor
	// gives way to Jitter. A MaxElapsedTime other than none and backoff's default
	// is refused: it counts from when the policy was made, which means nothing to
	// a message; use MaxAttempts. Any other policy, such as
	// backoff.WithMaxRetries, is evaluated once, at construction, for its first
	// hundred delays. The last one applies from then on. If the policy stops,
	// messages are rejected.
	Policy cenkalti.BackOff

	// Min is the delay after the first attempt, before jitter. Zero means
	// a second.
	Min time.Duration

	// Max is the longest delay, before jitter. Zero means 10 minutes, or Min
	// if that is longer. If the provider's longest delay is shorter, that
	// holds. SQS: 12 hours; Pub/Sub has none, since the runtime holds back
	// longer delays than its 600 s.
	Max time.Duration

	// Multiplier is the factor from each delay to the next. Zero means 2;
	// less than 1 is refused.
	Multiplier float64

	// Jitter is how delays are spread. Zero means [FullJitter].
	Jitter Jitter

	// Native leaves the delay of each retry to the queue: an error that is not a
	// rejection is returned as it came. Policy, Min, Max, Multiplier and Jitter exclude
	// it. SQS: the rest of the visibility timeout; Pub/Sub: the subscription's retry policy.
	Native bool

	// MaxAttempts is the attempt whose failure is the last: the message is then
	// rejected, with the error as the reason, whichever delay the handler asked for.
	// Zero means no limit but the queue's own. It should be below the queue's own limit (SQS:
	// maxReceiveCount; Pub/Sub: max delivery attempts): only a rejection carries
	// the reason to the dead-letter queue. On a queue that does not count attempts it
	// limits the failures in this process.
	MaxAttempts int

	// Permanent names the codes of errors that another attempt can't mend. A
	// message whose handler returns one is rejected. A code is an HTTP status
	// ("404"), the name of a gRPC or gocloud.dev code ("NotFound"), an AWS error
	// code ("ValidationException") or a SQLSTATE ("23505"). Nil means none: see
	// [Classify]. New refuses an empty code, and one with a space in it.
	Permanent []string

	// Classifier sorts an error, which is never nil, before Permanent and [Classify]
	// do, which decide only if it returns [Unknown]. It is called concurrently. Nil
	// means those two alone.
	Classifier func(err error) Class

	// Random returns numbers from [0, 1), concurrently, for the jitter. Nil means
	// math/rand/v2.
	Random func() float64
}

// complete returns a copy of c with its defaults, and its faults but for those of its
// policy, which policyOf finds.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	faults := []error{
		setting.Refuse(d.Policy != nil && (d.Min != 0 || d.Max != 0 || d.Multiplier != 0), "Policy and any of Min, Max, Multiplier exclude each other"),
		setting.Refuse(d.Native && (d.Policy != nil || d.Min != 0 || d.Max != 0 || d.Multiplier != 0 || d.Jitter != 0),
			"Native and any of Policy, Min, Max, Multiplier, Jitter exclude each other"),
		setting.Refuse(d.Jitter > NoJitter, "Jitter is %d: it must be FullJitter, EqualJitter or NoJitter", d.Jitter),
		setting.NotNegative("MaxAttempts", d.MaxAttempts),
	}
	for _, code := range d.Permanent {
		faults = append(faults, setting.Refuse(code == "" || strings.ContainsAny(code, " \t\r\n"), "Permanent has %q, which is not the code of an error", code))
	}
	if d.Policy == nil {
		d.Min = cmp.Or(d.Min, time.Second)
		d.Max = cmp.Or(d.Max, max(10*time.Minute, d.Min))
		d.Multiplier = cmp.Or(d.Multiplier, 2)
	}
	if d.Random == nil {
		d.Random = rand.Float64
	}
	return d, errors.Join(faults...)
}

// New returns the middleware. A nil config has the defaults.
func New(config *Config) (handler.Middleware, error) {
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("backoff: %w", err)
	}
	p, err := policyOf(&c)
	if err != nil {
		return nil, fmt.Errorf("backoff: %w", err)
	}
	r := &retrier{config: c, policy: p, permanent: make(codes, len(c.Permanent))}
	for _, code := range c.Permanent {
		r.permanent[code] = true
	}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			err := next.Handle(ctx, m)
			if err == nil {
				r.failures.forget(m)
				return nil
			}
			return r.judge(ctx, m, err)
		})
	}, nil
}

type retrier struct {
	config    Config
	policy    policy
	permanent codes
	failures  failures
}

// judge turns a handler's error into the verdict on its message.
func (r *retrier) judge(ctx context.Context, m *handler.Message, err error) error {
	cut := invoke.CutShort(ctx, err)
	switch v := invoke.VerdictOf(err); {
	case cut && v.Action == handler.ActionDeadLetter && (invoke.Is(err, context.Canceled) || invoke.Is(err, handler.ErrLeaseLost)):
		// The handler rejected the message because it was canceled, so the message
		// is not at fault.
		return handler.RetryAfter(0, err)
	case v.Action != handler.ActionRetry || v.Postponed:
		return err
	case v.Delayed && cut:
		return err
	case v.Delayed:
		if n := r.failures.attempt(m); r.last(n) {
			return handler.Reject(handler.Exhausted(n, r.config.MaxAttempts, err))
		}
		return err
	}
	if r.classify(err) == Permanent {
		return handler.Reject(err)
	}
	if cut {
		return handler.RetryAfter(0, err)
	}
	n := r.failures.attempt(m)
	if n <= 0 {
		return err
	}
	longest, stop := r.policy.delay(n)
	switch {
	case r.last(n), stop:
		return handler.Reject(handler.Exhausted(n, r.limit(n), err))
	case r.config.Native:
		return err
	}
	if limit := m.Origin().MaxDelay; limit > 0 {
		longest = min(longest, limit)
	}
	return handler.RetryAfter(r.jitter(longest), err)
}

// last reports whether the attempt is the last that MaxAttempts allows.
func (r *retrier) last(attempt int) bool {
	return r.config.MaxAttempts > 0 && attempt >= r.config.MaxAttempts
}

// limit is how many attempts there are, as far as a last attempt shows.
func (r *retrier) limit(attempt int) int {
	if r.config.MaxAttempts > 0 {
		return r.config.MaxAttempts
	}
	return attempt // the policy stops after it
}

// classify asks methods of the error and a function of the user's. If one panics,
// the error is not known.
func (r *retrier) classify(err error) (c Class) {
	if invoke.Do(func() { c = r.ask(err) }) != nil {
		return Unknown
	}
	return c
}

func (r *retrier) ask(err error) Class {
	if r.config.Classifier != nil {
		if c := r.config.Classifier(err); c != Unknown {
			return c
		}
	}
	return r.permanent.classify(err)
}

func (r *retrier) jitter(longest time.Duration) time.Duration {
	switch r.config.Jitter {
	case NoJitter:
		return longest
	case EqualJitter:
		half := longest / 2
		return half + part(longest-half, r.config.Random())
	default:
		return part(longest, r.config.Random())
	}
}

// part is a part of d, between 0 and d whatever random is: float64 can't hold the
// longest durations, and a product above them would turn negative.
func part(d time.Duration, random float64) time.Duration {
	f := random * float64(d)
	switch {
	case !(f > 0):
		return 0
	case f >= float64(d):
		return d
	default:
		return time.Duration(f)
	}
}
