package sqslambda

import (
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// The states of an item. The one that moves an item from waiting or running owns it:
// the worker that handles it, or the invocation that must return without it.
const (
	waiting uint32 = iota
	running
	returned  // the handler returned in time
	abandoned // the handler did not: its message is reported as failed
	skipped   // it is given back unhandled
	postponed // a middleware has postponed it: it is given back too
)

// An item is one message of an event.
type item struct {
	delivery drivers.Delivery
	next     *item // the next one of its group; nil on a standard queue
	state    atomic.Uint32

	// As received: a handler may change its message, and an abandoned handler may do
	// so while the message is reported. At the last attempt it shares nothing with
	// the handler's.
	received handler.Message
	id       string
	attempt  int

	// Set by the owner of the item; read once nobody else can own it.
	verdict    handler.Verdict
	settlement drivers.Settlement
	decided    time.Time // when settlement was decided; its delay counts from then
	ok         bool      // reported as success
	gone       bool      // deleted already
	observed   bool      // its end was observed
}

// released reports whether the item is released unhandled.
func (it *item) released() bool {
	state := it.state.Load()
	return state == skipped || state == postponed
}

// comesBack returns the earliest time at which a retried message is visible again.
func (it *item) comesBack() time.Time { return it.decided.Add(it.settlement.Delay) }
