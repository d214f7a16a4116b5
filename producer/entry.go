package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
	"github.com/sluice-go/sluice/internal/invoke"
)

// An entry is one message from Send to its answer. The goroutine of its call
// prepares it; from then on the lock of the dispatcher guards it, except msg,
// which belongs to the request while flying is true.
type entry struct {
	msg   handler.Message // the producer's own copy
	call  *call
	group string // empty if the order of the message's group need not be kept
	size  int
	at    time.Time // when it came; zero if it need not wait for company

	flying bool // it is in a request
	sent   bool // the provider has taken it
	turn   bool // it is the next of its group, which waits for it
	aside  bool // it is counted in buffers.failed

	answered bool      // err is final, or it was sent
	tries    int       // how often it was sent
	err      error     // why the latest try failed
	since    time.Time // when the first try failed
}

// prepare copies m, runs the hooks on the copy, checks it, and waits until the
// gauge, if there is one, admits it.
func (e *entry) prepare(ctx context.Context, cfg *Config, caps *drivers.Capabilities, g *gauge, m *handler.Message) error {
	if m == nil {
		return &drivers.Error{Code: drivers.Invalid, Queue: caps.Queue, Op: "send", Err: errors.New("the message is nil")}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	e.msg = *m
	if len(cfg.Prepare) > 0 {
		e.msg.Attributes = maps.Clone(m.Attributes)
		for _, f := range cfg.Prepare {
			var err error
			if panicked := invoke.Do(func() { err = f(ctx, &e.msg) }); panicked != nil {
				err = panicked
			}
			if err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
		}
	}
	if e.msg.DedupeID == "" {
		// Once, before the first try: all tries are of the same message.
		e.msg.DedupeID = identity.New()
	}
	if caps.Ordered {
		e.group = e.msg.Group
	}
	e.size = size(&e.msg)
	if err := check(caps, &e.msg, e.size); err != nil {
		return err
	}
	if g != nil {
		return g.admit(ctx, &e.msg)
	}
	return nil
}
