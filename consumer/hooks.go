package consumer

import (
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// askGate asks a gate for room. A gate that panics or ends its goroutine counts
// as closed, since what it guards may be down; it is asked again after gateRetry.
func (c *Consumer) askGate(g handler.Gate, want int) (n int, reopened <-chan struct{}) {
	err := invoke.DoApart(func() { n, reopened = g.Admit(want) })
	if err == nil {
		return n, reopened
	}
	c.gateFailed(g, err)
	return 0, nil
}

// reasonPatience is how long health waits for a gate's reason: a probe that
// waited for ever would have the process restarted.
const reasonPatience = 250 * time.Millisecond

// gateReason asks a closed gate why it is closed; "" is no answer. One that has
// not answered yet is not asked again.
func (c *Consumer) gateReason(l *lane, g handler.Gate) string {
	r, ok := g.(handler.GateReason)
	if !ok || !l.asking.CompareAndSwap(false, true) {
		return ""
	}
	answer := make(chan string, 1)
	go func() {
		reason := ""
		err := invoke.DoApart(func() { reason = r.Reason() })
		l.asking.Store(false)
		if err != nil {
			c.gateFailed(g, err)
			reason = ""
		}
		answer <- reason
	}()
	t := time.NewTimer(reasonPatience)
	defer t.Stop()
	select {
	case reason := <-answer:
		return reason
	case <-t.C:
		return ""
	}
}

func (c *Consumer) gateFailed(g handler.Gate, err error) {
	c.gatesFailed.Add(1)
	if missed, ok := c.badGate.Allow(time.Now(), time.Minute); ok {
		c.log.Error("a gate failed: it counts as closed and is asked again", "gate", invoke.TypeName(g),
			"error", invoke.Text(err), "stack", stackOf(err), "not_logged", missed)
	}
}

// callHook calls a function that a handler gave to OnExtend.
func (c *Consumer) callHook(f *flight, h func(time.Time), deadline time.Time) {
	err := invoke.DoApart(func() { h(deadline) })
	if err == nil {
		return
	}
	c.panics.Add(1)
	c.log.Error("a function given to OnExtend panicked", "queue", f.lane.caps.Queue,
		"message", f.msg.ID, "panic", invoke.Text(err), "stack", stackOf(err))
}

// reportFault logs and counts a handler's panic: p, or one in err that a batch
// handler or a middleware has caught and nobody has logged.
//
//go:noinline
func (c *Consumer) reportFault(f *flight, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	c.panics.Add(1)
	c.log.Error("handler panicked: the message is retried", "queue", f.lane.caps.Queue,
		"message", f.msg.ID, "attempt", f.msg.Attempt, "panic", text, "stack", stack)
}

// stackOf returns the stack of a panic, "" of any other error.
func stackOf(err error) string {
	if p, ok := invoke.As[*handler.PanicError](err); ok {
		return string(p.Stack)
	}
	return ""
}
