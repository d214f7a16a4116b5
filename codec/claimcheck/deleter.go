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

// DeleterConfig configures a [Deleter]. The zero DeleterConfig, like nil, selects the
// defaults.
type DeleterConfig struct {
	// Workers is the number of concurrent deletions. Zero means 4.
	Workers int

	// Buffer is the number of bodies that may wait for deletion. Further bodies stay
	// in the bucket, which is logged. Zero means 1000.
	Buffer int

	// Timeout bounds one deletion. Zero means 30 seconds.
	Timeout time.Duration

	// Logger receives the bodies that stay. Nil means slog.Default().
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

// A Deleter deletes the bodies of messages that were acked or dropped, once the queue
// has confirmed that verdict. It never deletes the body of a message that is retried
// or rejected. It is a handler.Observer for a consumer's Config.Observers, and works
// in the background: a failed deletion is logged, leaves the body to the bucket's
// lifecycle rule, and does not affect the message. The package documentation
// describes the risks. Its methods may be called concurrently.
type Deleter struct {
	check *Check
	cfg   DeleterConfig
	work  sync.WaitGroup

	mu     sync.Mutex
	todo   chan *pointer // nil once closed
	behind bool
}

var _ handler.Observer = (*Deleter)(nil)

// NewDeleter returns a Deleter for the buckets of a Check. A nil config selects the
// defaults. The caller must close it after the consumer has ended.
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

// Observe queues the body of a message that was acked for deletion. It does not
// block.
func (d *Deleter) Observe(e handler.Event) {
	if e.Kind != handler.EventSettled || e.Err != nil || e.Action != handler.ActionAck && e.Action != handler.ActionDrop ||
		e.Message == nil || !Claimed(e.Message) {
		return
	}
	p, err := parse(e.Message.Body)
	if err != nil {
		return // dropped because it is malformed
	}
	if _, err := d.check.find(p); err != nil {
		return // not ours to delete
	}
	if text := d.note(p); text != "" {
		d.cfg.Logger.Warn(text, "bucket", p.bucket, "key", p.key)
	}
}

// note queues a body for deletion. It returns a text to log, or "": the logger is user
// code and must not be called with the lock held.
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
	// The bucket's driver may be the user's. If it panics, the body stays.
	if panicked := invoke.Do(func() { err = b.Blob.Delete(ctx, p.key) }); panicked != nil {
		err = panicked
	}
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound { // a duplicate's ack was first
		d.cfg.Logger.Warn("a body could not be deleted and stays in the bucket", "bucket", p.bucket, "key", p.key, "error", invoke.Safe(err))
	}
}

// Close waits for the queued deletions. A second call does nothing.
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
