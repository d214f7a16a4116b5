package service

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
)

// The exit statuses of a service's process.
const (
	// StatusDone: it stopped when it was asked to, and drained.
	StatusDone = 0
	// StatusFailed: it could not run, or could not drain.
	StatusFailed = 1
	// StatusUsage: the configuration or the program's options are wrong. Nothing ran.
	StatusUsage = 2
)

// usageError is a fault of the configuration or of the program's options.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage returns a fault of the configuration or of the program's options.
func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// ExitStatus returns the status that a process should end with after an error of
// [config.Load], [New] or [Service.Run], nil included.
func ExitStatus(err error) int {
	var (
		asUsage   *usageError
		asConfig  *config.Error
		asUnknown *config.UnknownQueueError
	)
	switch {
	case err == nil:
		return StatusDone
	case errors.As(err, &asUsage), errors.As(err, &asConfig), errors.As(err, &asUnknown), errors.Is(err, opened.ErrURL), errors.Is(err, control.ErrURL):
		return StatusUsage
	default:
		return StatusFailed
	}
}

// Exit ends the process with [ExitStatus], after it has written err, if there is one, to
// standard error. Deferred functions do not run.
func Exit(err error) {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // nobody is left to read it
	}
	os.Exit(ExitStatus(err))
}
