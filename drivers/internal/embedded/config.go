package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/queue"
)

// The defaults of a new queue.
const (
	DefaultVisibilityTimeout = 30 * time.Second
	DefaultRetention         = 14 * 24 * time.Hour
	DefaultMaxAttempts       = 5
	// DeadLetterSuffix follows a queue's name in the default name of its
	// dead-letter queue.
	DeadLetterSuffix = "-dlq"
)

// NoDeadLetter as [Config.DeadLetter] means that the queue has no dead-letter
// queue.
const NoDeadLetter = "none"

// Config configures a queue; the drivers' Configs have the same fields and document
// them. A zero field leaves an existing queue unchanged and selects the default for
// a new one. A nil Config is the zero Config.
type Config struct {
	VisibilityTimeout time.Duration
	Retention         time.Duration
	MaxAttempts       int // negative means no limit
	DeadLetter        string
	// DeadLetterRetention is twice Retention by default.
	DeadLetterRetention time.Duration
	Ordered             *bool
	DedupeWindow        time.Duration // negative means none
	Delay               time.Duration // negative means none
}

// Params are the parameters of a URL that [FromURL] reads.
func Params() []string {
	return []string{"visibility_timeout", "retention", "max_attempts", "dead_letter", "dead_letter_retention", "ordered", "dedupe_window", "delay"}
}

// FromURL reads the parameters of a URL. It accepts the others without reading
// them and refuses any further ones.
func FromURL(u *url.URL, o *drivers.Options, others ...string) (*Config, error) {
	if err := drivers.CheckParams(u, append(Params(), others...)...); err != nil {
		return nil, err
	}
	p := params{scheme: u.Scheme, values: u.Query()}
	c := &Config{
		VisibilityTimeout: p.duration("visibility_timeout", false),
		Retention:         p.duration("retention", false),
		DeadLetter:        p.values.Get("dead_letter"),
		DedupeWindow:      p.duration("dedupe_window", true),
		Delay:             p.duration("delay", true),

		DeadLetterRetention: p.duration("dead_letter_retention", false),
	}
	if p.values.Has("max_attempts") {
		n, err := strconv.Atoi(p.values.Get("max_attempts"))
		if err != nil || n < 0 {
			p.refuse("max_attempts", "a whole number such as 5, or 0 for no limit")
		}
		if c.MaxAttempts = n; n == 0 {
			c.MaxAttempts = -1
		}
	}
	if p.values.Has("ordered") {
		b, err := strconv.ParseBool(p.values.Get("ordered"))
		if err != nil {
			p.refuse("ordered", "true or false")
		}
		c.Ordered = &b
	}
	if o != nil && o.DeadLetter != "" {
		c.DeadLetter = o.DeadLetter
	}
	return c, errors.Join(p.faults...)
}

// params reads parameters and collects their faults.
type params struct {
	scheme string
	values url.Values
	faults []error
}

func (p *params) refuse(name, want string) {
	p.faults = append(p.faults, &drivers.Error{
		Code: drivers.Invalid, Op: "open",
		Err: fmt.Errorf("parameter %s=%q in the %s URL: it must be %s", name, p.values.Get(name), p.scheme, want),
	})
}

// duration reads a duration above zero, or, where zero is allowed, -1 for it.
func (p *params) duration(name string, zero bool) time.Duration {
	if !p.values.Has(name) {
		return 0
	}
	d, err := parseDuration(p.values.Get(name))
	switch {
	case err == nil && d > 0:
		return d
	case err == nil && d == 0 && zero:
		return -1
	case zero:
		p.refuse(name, "a duration such as 30s, 5m or 4d, or 0")
	default:
		p.refuse(name, "a duration above zero such as 30s, 5m or 4d")
	}
	return 0
}

// parseDuration is time.ParseDuration with a number of days in front, as in
// 4d12h: retention in hours is hard to read.
func parseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if more < 0 {
		return 0, errors.New("the duration is negative")
	}
	return sum(d, more), err
}

// sum is a + b, or the longest duration if that is longer. Neither is below zero.
func sum(a, b time.Duration) time.Duration { return a + min(b, math.MaxInt64-a) }

// apply returns the engine's configuration after c is applied to it.
func (c *Config) apply(to queue.Config) queue.Config {
	if c.VisibilityTimeout != 0 {
		to.Visibility = c.VisibilityTimeout
	}
	if c.Retention != 0 {
		to.Retention = c.Retention
	}
	if c.MaxAttempts != 0 {
		to.MaxReceives = max(c.MaxAttempts, 0)
	}
	switch c.DeadLetter {
	case "":
	case NoDeadLetter:
		to.DeadLetter = ""
	default:
		to.DeadLetter = c.DeadLetter
	}
	if c.Ordered != nil {
		to.Ordered = *c.Ordered
	}
	if c.DedupeWindow != 0 {
		to.DedupeWindow = max(c.DedupeWindow, 0)
	}
	if c.Delay != 0 {
		to.Delay = max(c.Delay, 0)
	}
	return to
}

// initial returns the default configuration of a new queue.
func initial(name string) queue.Config {
	c := queue.Config{Visibility: DefaultVisibilityTimeout, Retention: DefaultRetention, MaxReceives: DefaultMaxAttempts, Ordered: true}
	if !strings.HasSuffix(name, DeadLetterSuffix) {
		c.DeadLetter = name + DeadLetterSuffix
	}
	return c
}

// prepare creates the queue and its dead-letter queue if they do not exist,
// applies c to the queue, and returns its configuration.
func prepare(ctx context.Context, e queue.Engine, name string, c *Config) (queue.Config, error) {
	if c == nil {
		c = &Config{}
	}
	for {
		has, _, err := e.Config(ctx, name)
		missing := errors.Is(err, queue.ErrNotFound)
		if err != nil && !missing {
			return has, err
		}
		want := has
		if missing {
			want = initial(name)
		}
		want = c.apply(want)
		if err := makeDeadLetters(ctx, e, c, want); err != nil {
			return want, err
		}
		if !missing {
			return want, configure(ctx, e, name, has, want)
		}
		// If another process creates it at the same time with another
		// configuration, it is a queue that exists: start again.
		if err := e.Create(ctx, name, want); !errors.Is(err, queue.ErrExists) {
			return want, err
		}
	}
}

// makeDeadLetters makes the queue that the dead letters of a queue with the
// configuration want go to, or gives it the retention that c asks for. It keeps no
// order: letters are looked at one by one.
func makeDeadLetters(ctx context.Context, e queue.Engine, c *Config, want queue.Config) error {
	if want.DeadLetter == "" {
		return nil
	}
	has, _, err := e.Config(ctx, want.DeadLetter)
	if errors.Is(err, queue.ErrNotFound) {
		err = e.Create(ctx, want.DeadLetter, queue.Config{Visibility: DefaultVisibilityTimeout, Retention: c.lettersRetention(want)})
		if errors.Is(err, queue.ErrExists) {
			return nil
		}
		return err
	}
	if err != nil || c.DeadLetterRetention == 0 || c.DeadLetterRetention == has.Retention {
		return err
	}
	has.Retention = c.DeadLetterRetention
	return e.Configure(ctx, want.DeadLetter, has)
}

// lettersRetention is the retention of a dead-letter queue that is made for a
// queue with the configuration want.
func (c *Config) lettersRetention(want queue.Config) time.Duration {
	return cmp.Or(c.DeadLetterRetention, sum(want.Retention, want.Retention))
}

func configure(ctx context.Context, e queue.Engine, name string, has, want queue.Config) error {
	if has.Visibility == want.Visibility && has.Retention == want.Retention && has.MaxReceives == want.MaxReceives &&
		has.DeadLetter == want.DeadLetter && has.Ordered == want.Ordered && has.DedupeWindow == want.DedupeWindow && has.Delay == want.Delay {
		return nil
	}
	return e.Configure(ctx, name, want)
}
