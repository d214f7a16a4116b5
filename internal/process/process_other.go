//go:build !unix

package process

import (
	"context"
	"errors"
)

// A Process is a running server. There is none but on Unix.
type Process struct{}

// Start refuses.
func Start(context.Context, Spec) (*Process, error) {
	return nil, errors.New("test servers run on Unix only")
}

// Stop does nothing.
func (*Process) Stop() error { return nil }

// Run refuses.
func Run(context.Context, Spec) error {
	return errors.New("test servers run on Unix only")
}
