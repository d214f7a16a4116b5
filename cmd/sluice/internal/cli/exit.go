package cli

import (
	"errors"
	"fmt"
	"strings"

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

// apart returns the errors that were joined, each of which has its own remedy, without
// errFindings: what was found is printed already.
func apart(err error) []error {
	if err == errFindings { //nolint:errorlint // not one that wraps it
		return nil
	}
	if wrong, ok := err.(*usageError); ok { //nolint:errorlint // the outermost only: a message in between would be lost
		err = wrong.err
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	var out []error
	for _, one := range many.Unwrap() {
		texts = append(texts, one.Error())
		out = append(out, apart(one)...)
	}
	if strings.Join(texts, "\n") != err.Error() { // it has a message of its own
		return []error{err}
	}
	return out
}
