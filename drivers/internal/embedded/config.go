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

// The defaults of a queue that is made.
const (
	DefaultVisibilityTimeout = 30 * time.Second
	DefaultRetention         = 14 * 24 * time.Hour
	DefaultMaxAttempts       = 5
	// DeadLetterSuffix is what the name of a dead-letter queue has behind that
	// of its queue, where no other is given.
	DeadLetterSuffix = "-dlq"
)

// NoDeadLetter is the [Config.DeadLetter] of a queue that has none.
const NoDeadLetter = "none"

// Config says how a queue is to be. What is not said is left as it is on a
// queue that exists; one that is made has the default. A nil Config says
// nothing.
type Config struct {
	// VisibilityTimeout is the lease that a receive gives. Zero says nothing;
	// the default is 30 seconds.
	VisibilityTimeout time.Duration

	// Retention is how long a message is kept, settled or not. Zero says
	// nothing; the default is 14 days. A dead-letter queue that is made for the
	// queue keeps its letters twice as long.
	Retention time.Duration

	// MaxAttempts is how often a message is delivered before it is
	// dead-lettered. Zero says nothing; the default is 5. Below zero, only
	// rejected messages are dead-lettered.
	MaxAttempts int

	// DeadLetter names the dead-letter queue, which is made where it does not
	// exist. Empty says nothing; the default is the queue's name with "-dlq"
	// behind it, and none for a queue whose name ends so. [NoDeadLetter] is none.
	DeadLetter string

	// DeadLetterRetention is how long letters are kept. Zero leaves it; the default
	// is twice the queue's own retention.
	DeadLetterRetention time.Duration

	// Ordered says whether the messages of a group are delivered in the order in
	// which they were sent, one at a time: while one is in flight or waits for
	// its retry, the later ones of its group wait as well. Nil says nothing; the
	// default is true.
	Ordered *bool

	// DedupeWindow is how long a message with a dedupe ID that was seen before is
	// taken for the first one, and dropped. Zero says nothing; the default is
	// that dedupe IDs are kept and ignored, and so it is below zero.
	DedupeWindow time.Duration

	// Delay is the delay of messages that are sent with none of their own. Zero
	// says nothing; the default is none, and so it is below zero.
	Delay time.Duration
}

// Params are the parameters of a URL that [FromURL] reads.
func Params() []string {
	return []string{"visibility_timeout", "retention", "max_attempts", "dead_letter", "dead_letter_retention", "ordered", "dedupe_window", "delay"}
}

// FromURL reads the parameters of a URL, and those of others that it may have
// besides.
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
	if p.values.Has("dead_letter") && c.DeadLetter == "" {
		p.refuse("dead_letter", "the name of a queue, or "+NoDeadLetter)
	}
	if o != nil && o.DeadLetter != "" {
		c.DeadLetter = o.DeadLetter
	}
	return c, errors.Join(p.faults...)
}

// params reads parameters and gathers what is wrong with them.
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

// parseDuration reads what time.ParseDuration does, with days before it: retention
// in hours is hard to read.
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
		return 0, errors.New("a duration below zero")
	}
	return sum(d, more), err
}

// sum is a + b, or the longest duration if that is longer. Neither is below zero.
func sum(a, b time.Duration) time.Duration { return a + min(b, math.MaxInt64-a) }

// apply returns the engine's configuration of a queue as c wants it.
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

// initial is the configuration of a queue that nothing is said of.
func initial(name string) queue.Config {
	c := queue.Config{Visibility: DefaultVisibilityTimeout, Retention: DefaultRetention, MaxReceives: DefaultMaxAttempts, Ordered: true}
	if !strings.HasSuffix(name, DeadLetterSuffix) {
		c.DeadLetter = name + DeadLetterSuffix
	}
	return c
}

// prepare makes the queue and its dead-letter queue where they do not exist,
// gives the queue the configuration that c says, and returns it.
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
		// Another process may make it at the same time, and otherwise: then it
		// is one that exists.
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
