// Package invoke calls a handler for those who deliver messages one call at a
// time: a Lambda function, an HTTP endpoint.
package invoke

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/sluice-go/sluice/handler"
)

// ErrGoexit is the verdict of a handler that ended its goroutine, which no
// caller on that goroutine lives to see: whoever may be on it gives the verdict
// in a deferred function. It is a failure like any other, so a retry.
var ErrGoexit = errors.New("the handler ended its goroutine (runtime.Goexit, or a testing FailNow)")

// Call has h handle m on the caller's goroutine. A panic does not pass: p is
// what it was, nil where there was none, and err is p then. Since p hides a
// verdict that h may have panicked with, a panic is always a retry.
func Call(ctx context.Context, h handler.Handler, m *handler.Message) (p *handler.PanicError, err error) {
	defer func() {
		if v := recover(); v != nil {
			p = &handler.PanicError{Value: v, Stack: debug.Stack()}
			err = p
		}
	}()
	return nil, h.Handle(ctx, m)
}
