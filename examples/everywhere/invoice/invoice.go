// Package invoice pays invoices that come by queue. It is the handler of
// examples/everywhere: it imports package handler and nothing else of Sluice,
// so it cannot know whether a queue, a Lambda function or a push endpoint calls
// it.
package invoice

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// An Invoice is the body of a message.
type Invoice struct {
	Number string `json:"number"`
	Cents  int64  `json:"cents"`
	// Bank says how the bank takes it: "" succeeds, "shaky" fails the first time,
	// "busy" asks the first time to come again.
	Bank string `json:"bank,omitempty"`
	// Canceled invoices are not paid.
	Canceled bool `json:"canceled,omitempty"`
}

// ErrNegative is why an invoice of less than nothing is rejected.
var ErrNegative = errors.New("the amount of the invoice is negative")

// Handler pays invoices at the bank and has record write down what was paid. A
// message that is not an invoice is rejected.
func Handler(bank *Bank, record func(ctx context.Context, i Invoice) error) handler.Handler {
	return handler.Typed(handler.JSON, func(ctx context.Context, _ *handler.Message, i Invoice) error {
		switch {
		case i.Canceled:
			return handler.Drop(errors.New("canceled"))
		case i.Cents < 0:
			return handler.Reject(ErrNegative)
		}
		if err := bank.Pay(i); err != nil {
			return err
		}
		return record(ctx, i)
	})
}

// A Bank stands for whatever is slow, far away and sometimes down. It remembers
// in files, so that all processes see the same one. It may be used concurrently.
type Bank struct {
	// Dir is an existing directory.
	Dir string
}

// Pay pays an invoice, or fails as the invoice says that it does.
func (b *Bank) Pay(i Invoice) error {
	if i.Bank == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(b.Dir, filepath.Base(i.Number)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil // it is asked again
	} else if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	err = fmt.Errorf("pay %s: the bank does not answer", i.Number)
	if i.Bank == "busy" {
		return handler.RetryAfter(20*time.Millisecond, err)
	}
	return err
}
