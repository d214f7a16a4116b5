// Package shop has the jobs of a shop, by kind. It knows nothing of queues.
package shop

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/handler/route"
	"github.com/sluice-go/sluice/job"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// Jobs enqueues jobs.
type Jobs interface {
	Enqueue(ctx context.Context, j job.Job, o *job.Options) (id string, err error)
}

// A Shop handles orders and sends mail.
type Shop struct {
	// Jobs gets the jobs that follow from others.
	Jobs Jobs
	// Mail sends a mail.
	Mail func(ctx context.Context, to, text string) error
	// RemindAfter is how long after an order its customer is asked for a review.
	RemindAfter time.Duration
}

// Orders returns the handler of the queue of orders.
func (s *Shop) Orders() (*route.Router, error) {
	r, err := route.New(nil)
	if err != nil {
		return nil, err
	}
	if err := job.Add(r, s.placeOrder); err != nil {
		return nil, err
	}
	return r, job.Add(r, s.cancelOrder)
}

// Emails returns the handler of the queue of mails.
func (s *Shop) Emails() (*route.Router, error) {
	r, err := route.New(nil)
	if err != nil {
		return nil, err
	}
	if err := job.Add(r, s.sendReceipt); err != nil {
		return nil, err
	}
	return r, job.Add(r, s.sendReminder)
}

// placeOrder runs in the transaction of the idempotency store: the order, the two jobs and
// the mark that this job is done commit together.
func (s *Shop) placeOrder(ctx context.Context, o PlaceOrder) error {
	tx := sqlstore.Tx(ctx)
	_, err := tx.ExecContext(ctx, "INSERT INTO orders (id, customer, cents, canceled) VALUES ($1, $2, $3, false)", o.ID, o.Customer, o.Cents)
	if err != nil {
		return err
	}
	if _, err := s.Jobs.Enqueue(ctx, SendReceipt{o.ID, o.Customer}, &job.Options{Tx: tx}); err != nil {
		return err
	}
	_, err = s.Jobs.Enqueue(ctx, SendReminder{o.ID, o.Customer}, &job.Options{Tx: tx, Delay: s.RemindAfter})
	return err
}

// cancelOrder fails if there is no such order, and is tried again: the order may be placed
// yet. The last failure makes it a dead letter.
func (s *Shop) cancelOrder(ctx context.Context, o CancelOrder) error {
	done, err := sqlstore.Tx(ctx).ExecContext(ctx, "UPDATE orders SET canceled = true WHERE id = $1", o.ID)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		err = fmt.Errorf("there is no order %s", o.ID)
	}
	return err
}

func (s *Shop) sendReceipt(ctx context.Context, r SendReceipt) error {
	return s.Mail(ctx, r.Customer, "receipt of order "+r.Order)
}

func (s *Shop) sendReminder(ctx context.Context, r SendReminder) error {
	return s.Mail(ctx, r.Customer, "how do you like order "+r.Order+"?")
}
