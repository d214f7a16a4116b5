package handler

import "fmt"

// PanicError is a panic that was turned into an error: by the recover
// middleware, or by [Batch] for each message of the batch. It is a failure like
// any other, so the message is retried.
type PanicError struct {
	// Value is what the handler panicked with.
	Value any
	// Stack is the stack of the goroutine that panicked, as runtime/debug.Stack
	// gives it.
	Stack []byte
}

// Error returns the value that the handler panicked with; the stack is left to
// those who ask for it.
//
// PanicError has no Unwrap, though the value may be an error: a verdict in it
// was not returned, and a panic is always a retry.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
