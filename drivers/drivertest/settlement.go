package drivertest

import (
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func ack(d drivers.Delivery) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}
}

func drop(d drivers.Delivery) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDrop}
}

// retry gives a message back after a delay.
func retry(d drivers.Delivery, delay time.Duration) drivers.Settlement {
	return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionRetry, Delay: delay, Delayed: true}
}

// release makes a message visible again immediately.
func release(d drivers.Delivery) drivers.Settlement { return retry(d, 0) }

// unseen gives a message back that no handler has seen.
func unseen(d drivers.Delivery, delay time.Duration) drivers.Settlement {
	s := retry(d, delay)
	s.Released = true
	return s
}

func reject(d drivers.Delivery, reason string) drivers.Settlement {
	now := time.Now()
	return drivers.Settlement{
		Receipt: d.Receipt, Message: d.Message, Action: handler.ActionDeadLetter,
		Failure: &drivers.Failure{Reason: reason, First: now.Add(-time.Minute), Last: now, Consumer: "drivertest"},
	}
}

func each(ds []drivers.Delivery, f func(drivers.Delivery) drivers.Settlement) []drivers.Settlement {
	ss := make([]drivers.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = f(d)
	}
	return ss
}
