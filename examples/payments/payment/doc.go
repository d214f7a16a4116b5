// Package payment is the payments example: an HTTP endpoint that enqueues a
// payment and answers immediately, and a handler that charges it exactly once.
//
// "Exactly once" rests on three things, from the outside in:
//
//  1. The endpoint gives the message the payment's ID as its dedupe ID. A client
//     that posts twice, or a producer that sends twice, makes two messages of
//     one payment.
//  2. sqlstore.Transactional runs the handler in a SQL transaction together with
//     the mark that the payment is done. Ledger row and mark commit together, so
//     there is one row however often the message is delivered and wherever the
//     worker is killed.
//  3. The gateway is not in that transaction: a worker may be killed between the
//     charge and the commit. So the charge carries the payment's ID as its
//     idempotency key, as payment gateways offer: the second call with the same
//     key returns the first one's charge.
//
// Leave any of the three out and the test beside this finds a customer who was
// charged twice, or a payment that the ledger does not know.
package payment

import (
	"errors"
	"fmt"
	"regexp"
)

// Payment is a charge to a customer's account.
type Payment struct {
	ID       string `json:"id"`
	Account  string `json:"account"`
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

var (
	idPattern       = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Validate returns every fault of a payment. One that is not valid now never
// will be.
func (p *Payment) Validate() error {
	var faults []error
	if !idPattern.MatchString(p.ID) {
		faults = append(faults, fmt.Errorf("id %q is not 1 to 64 letters, digits, - and _", p.ID))
	}
	if p.Account == "" {
		faults = append(faults, errors.New("account is missing"))
	}
	if p.Cents <= 0 {
		faults = append(faults, fmt.Errorf("cents is %d, it must be above zero", p.Cents))
	}
	if !currencyPattern.MatchString(p.Currency) {
		faults = append(faults, fmt.Errorf("currency %q is no ISO 4217 code", p.Currency))
	}
	return errors.Join(faults...)
}
