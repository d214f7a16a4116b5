package idempotency

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// Config configures how messages are identified and for how long. The zero
// Config works.
type Config struct {
	// Key gives a message its key. Nil means [ByDedupeID]. It may be called
	// concurrently.
	Key func(m *handler.Message) string

	// Namespace keeps the keys of one handler apart from those of another that
	// uses the same store. Empty means the message's queue, by its name alone: set
	// it if queues of one name, as in two regions or projects, share the store and
	// their messages may have equal keys. Set it too if one handler serves several
	// queues over which a duplicate can spread, or if the queue's name changes and
	// its marks must not.
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
	// handler canceled by a shorter outage of the store. With a lease the claim
	// lasts as long as it does.
	ClaimTTL time.Duration

	// RetryMax caps the delay, with full jitter, of a message for which the
	// store fails again and again while it answers for others. Zero means
	// 30 seconds.
	RetryMax time.Duration

	// StoreTimeout is how long the store may take for one answer, even if its
	// client ignores contexts. Zero means 5 seconds.
	StoreTimeout time.Duration

	// StoreName names the store in logs and in health. Empty means the result of
	// the store's String method, or its type.
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
