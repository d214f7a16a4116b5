package cli

import (
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/service"
)

// errFindings is returned by a command that has printed findings or changes.
var errFindings = errors.New("there are findings")

// usageError is a fault of the arguments.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage returns a fault of the arguments.
func usage(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// exitCode returns the exit status for what a command returned.
func exitCode(err error) int {
	asUsage := (*usageError)(nil)
	switch {
	case errors.Is(err, errFindings):
		return ExitFindings
	case errors.As(err, &asUsage):
		return ExitUsage
	default:
		return service.ExitStatus(err)
	}
}

// opening sorts the error of opening a queue: a URL that is wrong is a fault of
// the arguments or the configuration, a queue that is not there is not.
func opening(err error) error {
	if drivers.CodeOf(err) == drivers.Invalid {
		return &usageError{err}
	}
	return err
}
