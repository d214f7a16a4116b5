package gocloud

import (
	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A mapping maps errors, for topics and subscriptions.
type mapping struct{}

// IsRetryable implements driver.Topic and driver.Subscription.
func (mapping) IsRetryable(err error) bool {
	c := drivers.CodeOf(err)
	return c == drivers.Transient || c == drivers.Throttled
}

// ErrorAs implements driver.Topic and driver.Subscription for a **drivers.Error.
func (mapping) ErrorAs(err error, i any) bool {
	p, ok := i.(**drivers.Error)
	if !ok {
		return false
	}
	e, found := invoke.As[*drivers.Error](err)
	if found {
		*p = e
	}
	return found
}

// codes maps the port's codes to gocloud's.
var codes = map[drivers.Code]gcerrors.ErrorCode{
	drivers.Transient:   gcerrors.Internal,
	drivers.Throttled:   gcerrors.ResourceExhausted,
	drivers.NotFound:    gcerrors.NotFound,
	drivers.Denied:      gcerrors.PermissionDenied,
	drivers.Invalid:     gcerrors.InvalidArgument,
	drivers.LeaseLost:   gcerrors.FailedPrecondition,
	drivers.Unsupported: gcerrors.Unimplemented,
	drivers.Closed:      gcerrors.FailedPrecondition,
}

// ErrorCode implements driver.Topic and driver.Subscription.
func (mapping) ErrorCode(err error) gcerrors.ErrorCode {
	if c, ok := codes[drivers.CodeOf(err)]; ok {
		return c
	}
	return gcerrors.Unknown
}

func asMessage(m *handler.Message) func(any) bool {
	return func(i any) bool {
		p, ok := i.(**handler.Message)
		if ok {
			*p = m
		}
		return ok
	}
}
