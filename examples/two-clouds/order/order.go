// Package order is a handler that charges orders. It knows no queue: which cloud
// its messages come from is the configuration's matter.
//
// Its verdicts:
//
//	the order is charged                      ack
//	the first attempt at a "slow" order       an error: retried
//	no order, or one that costs nothing       rejected, with the reason
package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sluice-go/sluice/handler"
)

// An Order is what the messages' bodies hold, as JSON.
type Order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
	// Slow orders meet a payment service that does not answer at first.
	Slow bool `json:"slow,omitempty"`
}

// A Book has the orders that were charged. Its zero value is empty and ready for
// use, also concurrently.
type Book struct {
	mu    sync.Mutex
	lines []string
}

var (
	errFree    = errors.New("an order that costs nothing")
	errTimeout = errors.New("the payment service does not answer")
)

// Handler returns the handler that charges orders and writes them into the book.
func (b *Book) Handler() handler.Handler { return handler.Typed(handler.JSON, b.charge) }

func (b *Book) charge(_ context.Context, m *handler.Message, o Order) error {
	switch {
	case o.Cents <= 0:
		return handler.Reject(fmt.Errorf("%s: %w", o.ID, errFree))
	case o.Slow && m.Attempt < 2:
		return errTimeout
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf("%s: %d cents for %s, attempt %d", o.ID, o.Cents, m.Attributes["tenant"], m.Attempt))
	return nil
}

// Lines returns a line about each order that was charged, sorted.
func (b *Book) Lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(slices.Values(b.lines))
}
