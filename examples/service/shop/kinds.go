package shop

// PlaceOrder is a job that places an order.
type PlaceOrder struct {
	ID, Customer string
	Cents        int64
}

// Kind implements job.Job.
func (PlaceOrder) Kind() string { return "place-order" }

// CancelOrder is a job that cancels an order.
type CancelOrder struct{ ID string }

// Kind implements job.Job.
func (CancelOrder) Kind() string { return "cancel-order" }

// SendReceipt is a job that sends the receipt of an order.
type SendReceipt struct{ Order, Customer string }

// Kind implements job.Job.
func (SendReceipt) Kind() string { return "send-receipt" }

// SendReminder is a job that asks a customer to review an order.
type SendReminder struct{ Order, Customer string }

// Kind implements job.Job.
func (SendReminder) Kind() string { return "send-reminder" }
