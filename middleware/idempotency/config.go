package idempotency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/internal/storegate"
	"github.com/sluice-go/sluice/middleware/internal/unhandled"
)

// Config says how messages are identified and for how long. The zero Config
// works.
type Config struct {
	// Key gives a message its key. Nil means [ByDedupeID]. It may be called
	// concurrently.
	Key func(m *handler.Message) string

	// Namespace keeps the keys of one handler apart from those of another that
	// uses the same store. Empty means the message's queue. Set it if one
	// handler serves several queues over which a duplicate can spread, or if
	// the queue's name changes and its marks must not.
	Namespace string

	// RunKeyless has a message without a key handled without protection. False
	// rejects it: a message that must not be handled twice and cannot be distinguished
	// from its duplicate is a fault of its sender.
	RunKeyless bool

	// DoneTTL is how long a key stays done. Zero means 14 days, the
	// longest that SQS keeps a message. It must be longer than a duplicate can be late: at least the queue's retention,
	// and the time within which letters are redriven. A longer one costs room in
	// the store.
	DoneTTL time.Duration

	// ClaimTTL is how long a claim on a delivery without a lease outlives its
	// worker: the claim is renewed every third of it while the handler runs, until
	// the context's deadline. Zero means a minute. A longer one makes the
	// duplicates of a message wait longer if its worker dies, a shorter one has the
	// handler cancelled by a shorter outage of the store. With a lease the claim
	// lasts as long as it does.
	ClaimTTL time.Duration

	// RetryMax caps the delay, with full jitter, of a message for which the
	// store fails again and again while it answers for others. Zero means
	// 30 seconds.
	RetryMax time.Duration

	// StoreTimeout is how long the store may take for one answer, even if its
	// client ignores contexts. Zero means 5 seconds.
	StoreTimeout time.Duration

	// StoreName names the store in logs and in health. Empty means what the
	// store's String method returns, or its type.
	StoreName string

	// OnDuplicate, if not nil, is called for a message that was already done,
	// with the result that [SetResult] stored. It may be called concurrently. An error that it returns is the message's verdict.
	OnDuplicate func(ctx context.Context, m *handler.Message, result []byte) error

	// Observer, if not nil, gets duplicates (handler.EventDuplicate), and when the store
	// stops answering (handler.EventStoreDown) and answers again
	// (handler.EventStoreUp).
	Observer handler.Observer

	// Logger gets a record when the store stops answering, when it answers again,
	// and for each claim that is lost. Nil means slog.Default().
	Logger *slog.Logger
}

// WithDefaults returns a copy of c, which may be nil, in which every field is
// set; or an error that names each that is out of range. It and the methods
// below are for those who build another form of the middleware, as package
// sqlstore does; they need a Config that WithDefaults returned.
func (c *Config) WithDefaults() (Config, error) {
	out := setting.Copy(c)
	if out.Key == nil {
		out.Key = ByDedupeID
	}
	out.Logger = invoke.Logger(out.Logger)
	if err := errors.Join(
		setting.Default("DoneTTL", &out.DoneTTL, 14*24*time.Hour),
		setting.Default("ClaimTTL", &out.ClaimTTL, time.Minute),
		setting.Default("RetryMax", &out.RetryMax, 30*time.Second),
		setting.Default("StoreTimeout", &out.StoreTimeout, 5*time.Second),
	); err != nil {
		return out, fmt.Errorf("idempotency: %w", err)
	}
	return out, nil
}

// StoreKey returns the key under which m is kept in a store: "" where m has none
// and RunKeyless is set, and [ErrNoKey] if it is not.
func (c *Config) StoreKey(m *handler.Message) (string, error) {
	key := c.Key(m)
	switch {
	case key == "" && c.RunKeyless:
		return "", nil
	case key == "":
		return "", ErrNoKey
	case c.Namespace != "":
		return StoreKey(c.Namespace, key), nil
	default:
		return StoreKey(m.Origin().Queue, key), nil
	}
}

// Duplicate reports a message that was done to the observer and OnDuplicate, and
// returns the message's verdict.
func (c *Config) Duplicate(ctx context.Context, m *handler.Message, result []byte) error {
	unhandled.Note(ctx)
	if c.Observer != nil {
		origin := m.Origin()
		_ = invoke.DoApart(func() { // what is done is done, whatever the observer does
			c.Observer.Observe(handler.Event{Kind: handler.EventDuplicate, Origin: &origin, Message: m})
		})
	}
	if c.OnDuplicate != nil {
		return c.OnDuplicate(ctx, m, result)
	}
	return nil
}

// Retry returns the verdict on a message for which the store fails though it
// answers for others: a retry with full jitter, which counts as an attempt.
func (c *Config) Retry(err error) error {
	return handler.RetryAfter(time.Duration(mathrand.Float64()*float64(c.RetryMax)), err)
}

// Gate returns an open gate for a store: it closes while the store does not
// answer. probe asks the store something that changes nothing.
func (c *Config) Gate(store any, probe func(ctx context.Context) error) *storegate.Gate {
	name := c.StoreName
	if s, ok := store.(fmt.Stringer); ok && name == "" {
		name = s.String()
	}
	if name == "" {
		name = fmt.Sprintf("%T", store)
	}
	return storegate.New(storegate.Config{
		Name: "idempotency store " + name, Probe: probe, Timeout: c.StoreTimeout, Logger: c.Logger, Observer: c.Observer,
	})
}
