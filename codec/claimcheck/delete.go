package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
)

// DeleterConfig configures a [Deleter]. The zero DeleterConfig, and nil, are the
// defaults.
type DeleterConfig struct {
	// Workers is how many bodies are deleted at once. Zero means
	// 4.
	Workers int

	// Buffer is how many bodies may wait for that. What comes beyond stays in
	// the bucket, and that is logged. Zero means 1000.
	Buffer int

	// Timeout bounds one deletion. Zero means 30 seconds.
	Timeout time.Duration

	// Logger gets a record for bodies that stay. Nil means slog.Default().
	Logger *slog.Logger
}

// complete returns a copy of c with its defaults, and its faults.
func (c *DeleterConfig) complete() (DeleterConfig, error) {
	d := setting.Copy(c)
	d.Logger = invoke.Logger(d.Logger)
	return d, errors.Join(
		setting.Default("Workers", &d.Workers, 4),
		setting.Default("Buffer", &d.Buffer, 1000),
		setting.Default("Timeout", &d.Timeout, 30*time.Second),
	)
}

// A Deleter deletes the bodies of messages that were acked or dropped, once
// the queue has taken that verdict; never of one that is retried or rejected. It
// is a handler.Observer, for a consumer's Config.Observers, and does its work in
// the background: a deletion that fails is logged, leaves the body to the
// bucket's lifecycle rule and has no effect on the message. See the package
// comment for what deleting costs. Its methods may be called concurrently.
type Deleter struct {
	check *Check
	cfg   DeleterConfig
	work  sync.WaitGroup

	mu     sync.Mutex
	todo   chan *pointer // nil once closed
	behind bool
}

var _ handler.Observer = (*Deleter)(nil)

// NewDeleter returns a Deleter for the buckets of a Check. A nil config is the
// defaults. It is to be closed when the consumer has ended.
func NewDeleter(check *Check, config *DeleterConfig) (*Deleter, error) {
	cfg, err := config.complete()
	d := &Deleter{check: check, cfg: cfg}
	if check == nil {
		err = errors.Join(err, errors.New("the check is nil"))
	}
	if err != nil {
		return nil, fmt.Errorf("claim check: deleter: %w", err)
	}
	todo := make(chan *pointer, d.cfg.Buffer)
	d.todo = todo
	for range d.cfg.Workers {
		d.work.Go(func() {
			for p := range todo {
				d.delete(p)
			}
		})
	}
	return d, nil
}

// Observe takes note of a message that was acked. It does not block.
func (d *Deleter) Observe(e handler.Event) {
	if e.Kind != handler.EventSettled || e.Err != nil || e.Action != handler.ActionAck && e.Action != handler.ActionDrop ||
		e.Message == nil || !Claimed(e.Message) {
		return
	}
	p, err := parse(e.Message.Body)
	if err != nil {
		return // dropped as it was
	}
	if _, err := d.check.find(p); err != nil {
		return // not ours to delete
	}
	if text := d.note(p); text != "" {
		d.cfg.Logger.Warn(text, "bucket", p.bucket, "key", p.key)
	}
}

// note has a body deleted. It returns what is to be logged, if anything: the
// logger is the user's code, and is not called under the lock.
func (d *Deleter) note(p *pointer) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.todo == nil {
		return "a body stays: its message was acked after the deleter was closed"
	}
	select {
	case d.todo <- p:
		d.behind = false
	default:
		if !d.behind {
			d.behind = true
			return "bodies stay: deleting them is slower than the messages come"
		}
	}
	return ""
}

func (d *Deleter) delete(p *pointer) {
	b, err := d.check.find(p)
	if err != nil {
		return // Observe has found it
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Timeout)
	defer cancel()
	// The bucket's driver may be the user's, and its panic is nothing but a body
	// that stays.
	if panicked := invoke.Do(func() { err = b.Blob.Delete(ctx, p.key) }); panicked != nil {
		err = panicked
	}
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound { // a duplicate's ack was first
		d.cfg.Logger.Warn("a body stays: it could not be deleted", "bucket", p.bucket, "key", p.key, "error", invoke.Safe(err))
	}
}

// Close waits until what was noted is deleted. A second call does nothing.
func (d *Deleter) Close() error {
	d.mu.Lock()
	if d.todo != nil {
		close(d.todo)
		d.todo = nil
	}
	d.mu.Unlock()
	d.work.Wait()
	return nil
}
