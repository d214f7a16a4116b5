// Package order writes orders from a queue into PostgreSQL, many at a time, with
// a verdict for each: it shows a batch handler. It imports handler and PostgreSQL's
// driver, and knows no queue.
package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// An Order is what a message's body holds, as JSON.
type Order struct {
	ID       string    `json:"id"`
	Customer string    `json:"customer"`
	Cents    int64     `json:"cents"`
	PlacedAt time.Time `json:"placed_at"`
}

// parse reads an order. It does not repeat the checks of the table.
func parse(body []byte) (Order, error) {
	var o Order
	if err := json.Unmarshal(body, &o); err != nil {
		return Order{}, fmt.Errorf("order: %w", err)
	}
	if o.ID == "" {
		return Order{}, errors.New("order: it has no id")
	}
	return o, nil
}
