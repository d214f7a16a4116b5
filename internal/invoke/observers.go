package invoke

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/seldom"
)

// Observers calls the observers of a runtime. One that panics or ends its
// goroutine loses that event only: the others get it, and the runtime goes on.
// The failure is logged, once a minute at most.
type Observers struct {
	list []handler.Observer
	log  *slog.Logger
	loud seldom.Event
	bad  atomic.Uint64
}

// NewObservers returns the caller of list, which logs to log. log must be one of
// [Logger].
func NewObservers(list []handler.Observer, log *slog.Logger) *Observers {
	return &Observers{list: list, log: log}
}

// Observe implements [handler.Observer]. It must not be called under a lock. An
// error of e whose text cannot be had is replaced by one that says so.
func (o *Observers) Observe(e handler.Event) {
	if o != nil && len(o.list) > 0 {
		o.observe(e)
	}
}

// observe is apart from Observe because e escapes here: without observers an event
// must cost no allocation.
//
//go:noinline
func (o *Observers) observe(e handler.Event) {
	e.Err = Safe(e.Err)
	for _, one := range o.list {
		if err := DoApart(func() { one.Observe(e) }); err != nil {
			o.failed(one, err)
		}
	}
}

// Failures counts the events that an observer has missed because it failed.
func (o *Observers) Failures() uint64 { return o.bad.Load() }

func (o *Observers) failed(one handler.Observer, err error) {
	o.bad.Add(1)
	missed, ok := o.loud.Allow(time.Now(), time.Minute)
	if !ok {
		return
	}
	stack := ""
	if p, is := As[*handler.PanicError](err); is {
		stack = string(p.Stack)
	}
	o.log.Error("an observer failed: it has missed an event", "observer", TypeName(one), "error", Text(err), "stack", stack, "not_logged", missed)
}
