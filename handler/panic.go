package handler

import (
	"fmt"
	"sync/atomic"
)

// PanicError is a panic that was turned into an error: by the recover
// middleware, or by [Batch] for each message of the batch. It is a failure like
// any other, so the message is retried.
type PanicError struct {
	// Value is the value of the panic.
	Value any
	// Stack is the stack of the goroutine that panicked, as runtime/debug.Stack
	// gives it.
	Stack []byte

	told atomic.Bool
}

// FirstReport returns true to its first caller. Code that is about to log the
// panic calls it, so that a panic shared by several messages or middleware, such
// as a batch handler's, is logged and counted once. The runtime does it for each
// error of a handler.
func (e *PanicError) FirstReport() bool { return e.told.CompareAndSwap(false, true) }

// Error returns the value that the handler panicked with; the stack is left to
// those who ask for it.
//
// PanicError has no Unwrap, though the value may be an error: a verdict in it
// was not returned, and a panic is always a retry.
func (e *PanicError) Error() (text string) {
	defer func() {
		if recover() != nil { // of the value's own method, while fmt shows its panic
			text = fmt.Sprintf("panic: a value of type %T that cannot be printed", e.Value)
		}
	}()
	return fmt.Sprintf("panic: %v", e.Value)
}
