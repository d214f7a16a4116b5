package cloud

import (
	"context"

	"github.com/sluice-go/sluice/internal/invoke"
)

// within is like call, but returns when ctx ends, leaving the hook behind.
func within(ctx context.Context, hook func() error) error {
	done := make(chan error, 1)
	go func() { done <- call(hook) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call calls a hook of the user's. It returns a panic as an error.
func call(hook func() error) (err error) {
	if failed := invoke.DoApart(func() { err = hook() }); failed != nil {
		return failed
	}
	return err
}
