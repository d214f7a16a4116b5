//go:build !linux

package httphandler

import (
	"context"
	"syscall"
)

// boundUnacked does nothing if there is no such bound.
func boundUnacked(context.Context, string, string, syscall.RawConn) error { return nil }
