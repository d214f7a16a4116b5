package invoke

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/seldom"
)

// Observers calls the observers of a runtime. An observer that panics or ends
// its goroutine misses only that event: the others get it, and the runtime
// continues. The failure is logged, once a minute at most.
//
// Observers are called on goroutines of their own, which they may end. Between Keep
// and Close these are kept for further events, so that an event costs two switches
// between goroutines and no allocation. Those of this module that call no code of users
// ([Inline], and [handler.Counter]) are called first, on the goroutine of the event.
// A caller that can continue when its goroutine is ended saves the switches by
// ObserveHere.
type Observers struct {
	inline []handler.Observer
	list   []handler.Observer // the others
	log    *slog.Logger
	loud   seldom.Event
	bad    atomic.Uint64

	mu   sync.Mutex
	keep bool
	free []*caller
}

// maxCallers bounds the goroutines that are kept: starting one costs less than keeping
// thousands.
const maxCallers = 64

// A caller is a goroutine that calls observers.
type caller struct {
	calls   chan call
	reached chan place
	one     [1]handler.Event // a call of one event
}

// A call is for events: the first one's observers from an index on, and all observers of
// the others.
type call struct {
	events []handler.Event
	from   int
}

// A place is how far a call came: the observer of the event that ended the goroutine, or
// the number of events.
type place struct{ event, observer int }

// NewObservers returns the caller of list, which logs to log. log must be one of
// [Logger].
func NewObservers(list []handler.Observer, log *slog.Logger) *Observers {
	o := &Observers{log: log}
	for _, one := range list {
		switch one.(type) {
		case inliner, *handler.Counter:
			o.inline = append(o.inline, one)
		default:
			o.list = append(o.list, one)
		}
	}
	return o
}

// Inline is embedded in an observer that never ends its goroutine and does not wait, so
// that events need no other goroutine. Its panics are recovered all the same.
type Inline struct{}

func (Inline) inline() {}

type inliner interface{ inline() }

// Keep makes o keep its goroutines until Close.
func (o *Observers) Keep() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep = true
}

// Close ends the goroutines that are kept. Later events have goroutines that end with
// them.
func (o *Observers) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep = false
	for _, c := range o.free {
		close(c.calls)
	}
	o.free = nil
}

// Observe implements [handler.Observer]. It must not be called under a lock. An
// error of e whose Error method fails is replaced by one that reports this.
func (o *Observers) Observe(e handler.Event) {
	if o != nil && len(o.inline)+len(o.list) > 0 {
		o.observe(&e)
	}
}

// observe is apart from Observe to keep the stacks of those small who have no
// observers.
//
//go:noinline
func (o *Observers) observe(e *handler.Event) {
	o.callInline(e)
	o.apart(e, 0)
}

// apart passes an event to the observers from an index on, on a goroutine of theirs.
func (o *Observers) apart(e *handler.Event, from int) {
	if from < len(o.list) {
		c := o.take()
		c.one[0] = *e
		o.call(c, c.one[:], from)
	}
}

// ObserveHere is Observe on the caller's goroutine. An observer that ends it ends the
// caller, whose deferred functions run once the other observers have the event.
func (o *Observers) ObserveHere(e handler.Event) {
	if o != nil && len(o.inline)+len(o.list) > 0 {
		o.observeHere(&e)
	}
}

//go:noinline
func (o *Observers) observeHere(e *handler.Event) {
	o.callInline(e)
	at := 0
	defer func() {
		if at < len(o.list) {
			o.failed(o.list[at], ErrGoexit)
			o.apart(e, at+1)
		}
	}()
	for ; at < len(o.list); at++ {
		if p := observeOne(o.list[at], e); p != nil {
			o.failed(o.list[at], p)
		}
	}
}

// ObserveAll is Observe for several events, which changes goroutines once for all of
// them. It owns the slice until it returns.
func (o *Observers) ObserveAll(es []handler.Event) {
	if o == nil || len(es) == 0 {
		return
	}
	for i := range es {
		o.callInline(&es[i])
	}
	if len(o.list) > 0 {
		o.call(o.take(), es, 0)
	}
}

// callInline makes the event's error safe, and passes the event to the observers that
// need no other goroutine.
func (o *Observers) callInline(e *handler.Event) {
	if e.Err != nil {
		e.Err = Safe(e.Err)
	}
	for _, one := range o.inline {
		if p := observeOne(one, e); p != nil {
			o.failed(one, p)
		}
	}
}

// call passes events by c, and by others if an observer ends its goroutine. It leaves out
// the first event's observers before an index.
func (o *Observers) call(c *caller, es []handler.Event, from int) {
	for {
		c.calls <- call{es, from}
		at := <-c.reached
		if es = es[at.event:]; len(es) == 0 {
			c.one[0] = handler.Event{}
			o.give(c)
			return
		}
		o.failed(o.list[at.observer], ErrGoexit)
		from = at.observer + 1
		c = o.take()
	}
}

// take returns a goroutine that calls observers.
func (o *Observers) take() *caller {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.free); n > 0 {
		c := o.free[n-1]
		o.free = o.free[:n-1]
		return c
	}
	c := &caller{calls: make(chan call), reached: make(chan place)}
	go o.work(c)
	return c
}

// give keeps a goroutine, or ends it.
func (o *Observers) give(c *caller) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keep && len(o.free) < maxCallers {
		o.free = append(o.free, c)
	} else {
		close(c.calls)
	}
}

// work calls the observers. It answers each call with the place that it has reached.
func (o *Observers) work(c *caller) {
	var at place
	calling := false
	defer func() {
		if calling {
			c.reached <- at
		}
	}()
	for next := range c.calls {
		at, calling = place{observer: next.from}, true
		for ; at.event < len(next.events); at.event, at.observer = at.event+1, 0 {
			for ; at.observer < len(o.list); at.observer++ {
				if p := observeOne(o.list[at.observer], &next.events[at.event]); p != nil {
					o.failed(o.list[at.observer], p)
				}
			}
		}
		calling = false
		c.reached <- at
	}
}

// observeOne calls an observer and returns its panic.
func observeOne(one handler.Observer, e *handler.Event) (p *handler.PanicError) {
	return Do(func() { one.Observe(*e) })
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
	o.log.Error("an observer failed and missed an event", "observer", TypeName(one), "error", Text(err), "stack", stack, "not_logged", missed)
}
