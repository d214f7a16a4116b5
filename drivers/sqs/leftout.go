package sqs

import (
	"errors"
	"slices"
	"strings"

	smithy "github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/drivers"
)

// A leftOut error names the attributes that the server, an emulator, does not
// know. The rest of the step was done.
type leftOut struct {
	what []string // queue attributes, or "tags"
	err  error    // the latest refusal
	made bool     // something else of the step was done
}

func (l *leftOut) Error() string {
	return strings.Join(l.what, ", ") + ": " + l.reason()
}

// reason is what the server said.
func (l *leftOut) reason() string {
	if e := (*drivers.Error)(nil); errors.As(l.err, &e) && e.Err != nil {
		if ae := smithy.APIError(nil); errors.As(e.Err, &ae) {
			return bare(ae.ErrorCode()) + ": " + ae.ErrorMessage()
		}
		return e.Err.Error()
	}
	return l.err.Error()
}

// without runs do, which sets the named attribute, and records the attribute if
// the server does not know it. It returns all other errors.
func (l *leftOut) without(what string, do func() error) error {
	err := do()
	switch {
	case err == nil:
		l.made = true
	case lacks(err):
		l.what, l.err = append(l.what, what), err
	default:
		return err
	}
	return nil
}

// result is the error of a step.
func (l *leftOut) result() error {
	if len(l.what) == 0 {
		return nil
	}
	slices.Sort(l.what)
	return l
}

// lacks reports whether err means that the server does not know an attribute or
// an action, rather than that it refuses a value. AWS knows all that this package
// uses. Emulators do not, and each has its own words for it.
func lacks(err error) bool {
	switch drivers.CodeOf(err) {
	case drivers.Unsupported:
		return true
	case drivers.Invalid:
	default:
		return false
	}
	ae := smithy.APIError(nil)
	if !errors.As(err, &ae) {
		return false
	}
	if bare(ae.ErrorCode()) == "InvalidAttributeName" {
		return true
	}
	message := strings.ToLower(ae.ErrorMessage())
	return slices.ContainsFunc([]string{"unknown attribute", "unsupported", "not supported", "not implemented"},
		func(s string) bool { return strings.Contains(message, s) })
}
