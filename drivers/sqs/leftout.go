package sqs

import (
	"errors"
	"slices"
	"strings"

	smithy "github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// leftOut gathers the attributes that the server, an emulator, doesn't know while
// the rest of a step is done.
type leftOut provision.LeftOutError

// refusal is the server's answer without the names of the queue and the
// operation, which the change already has.
func refusal(err error) error {
	if e := (*drivers.Error)(nil); errors.As(err, &e) && e.Err != nil {
		if ae := smithy.APIError(nil); errors.As(e.Err, &ae) {
			return errors.New(bare(ae.ErrorCode()) + ": " + ae.ErrorMessage())
		}
		return e.Err
	}
	return err
}

// without runs do, which sets the named attribute, and records the attribute if
// the server does not know it. It returns all other errors.
func (l *leftOut) without(what string, do func() error) error {
	err := do()
	switch {
	case err == nil:
		l.Made = true
	case lacks(err):
		l.What, l.Err = append(l.What, what), refusal(err)
	default:
		return err
	}
	return nil
}

// result is the error of a step.
func (l *leftOut) result() error {
	if len(l.What) == 0 {
		return nil
	}
	return (*provision.LeftOutError)(l)
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
