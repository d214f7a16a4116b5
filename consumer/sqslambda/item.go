package sqslambda

import (
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// The states of an item. Whoever moves it on from waiting or running has it: the
// worker that handles it, or the invocation that must return without it.
const (
	waiting uint32 = iota
	running
	returned  // the handler has, in time
	abandoned // it has not: its message is reported as failed, whatever comes later
	skipped   // it is given back unhandled
	postponed // a middleware has postponed it: it is given back as well
)

// An item is one message of an event.
type item struct {
	delivery drivers.Delivery
	next     *item // the next one of its group; nil on a standard queue
	state    atomic.Uint32

	// As it was received: a handler may change its message, and an abandoned one
	// is still at it when its message is reported. If this attempt is the last,
	// it shares nothing with the handler's.
	received handler.Message
	id       string
	attempt  int

	// Set by whoever has the item; read once nobody else can have it.
	verdict    handler.Verdict
	settlement drivers.Settlement
	decided    time.Time // when the settlement was, which its delay counts from
	ok         bool      // reported as success
	gone       bool      // deleted already
	told       bool      // the observers know its end
}

// released reports whether the item is given back with no handler having worked
// on it.
func (it *item) released() bool {
	state := it.state.Load()
	return state == skipped || state == postponed
}

// comesBack is when a retried message is visible again, at the earliest.
func (it *item) comesBack() time.Time { return it.decided.Add(it.settlement.Delay) }
