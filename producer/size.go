package producer

import (
	"fmt"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// size returns the size of a message by which providers limit it: that of the body
// and of each attribute's name and value. Only the driver knows how much its
// encoding (base64) adds; it refuses a message that becomes too large.
func size(m *handler.Message) int {
	n := len(m.Body)
	for k, v := range m.Attributes {
		n += len(k) + len(v)
	}
	return n
}

// check returns an error that names the limit if the provider can never take the
// message.
func check(c *drivers.Capabilities, m *handler.Message, bytes int) error {
	refuse := func(remedy, format string, args ...any) error {
		return &drivers.Error{Code: drivers.Invalid, Queue: c.Queue, Op: "send", Err: fmt.Errorf(format, args...), Remedy: remedy}
	}
	limit := c.MaxMessageBytes
	if c.MaxBatchBytes > 0 && (limit == 0 || c.MaxBatchBytes < limit) {
		limit = c.MaxBatchBytes
	}
	switch {
	case limit > 0 && bytes > limit:
		return refuse("keep the body in a bucket and send a pointer: put a claim check (package codec/claimcheck) into producer.Config.Prepare",
			"body and attributes are %d bytes: the limit is %d", bytes, limit)
	case c.MaxAttributes > 0 && len(m.Attributes) > c.MaxAttributes:
		return refuse("put some of them into the body",
			"there are %d attributes: the limit is %d", len(m.Attributes), c.MaxAttributes)
	case m.Delay < 0:
		return refuse("", "the delay is %v: it must not be negative", m.Delay)
	case m.Delay > 0 && c.MaxSendDelay <= 0:
		return refuse("send it by a table: set delay_store in the configuration, or wrap the sink by outbox.Delayed; or return RetryAfter from the handler at the first attempt",
			"the delay is %v: this queue cannot delay a message", m.Delay)
	case m.Delay > max(c.MaxSendDelay, 0):
		return refuse("send it by a table: set delay_store in the configuration, or wrap the sink by outbox.Delayed; or return RetryAfter from the handler for the rest",
			"the delay is %v: the limit is %v", m.Delay, c.MaxSendDelay)
	}
	return nil
}
