package cloud

import (
	"context"
	"errors"

	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/invoke"
)

// codes maps gocloud's codes to the port's. All others are transient: gocloud calls
// every error unknown that its driver did not classify, and another attempt loses
// nothing.
var codes = map[gcerrors.ErrorCode]drivers.Code{
	gcerrors.NotFound:           drivers.NotFound,
	gcerrors.PermissionDenied:   drivers.Denied,
	gcerrors.InvalidArgument:    drivers.Invalid,
	gcerrors.AlreadyExists:      drivers.Invalid,
	gcerrors.Unimplemented:      drivers.Unsupported,
	gcerrors.ResourceExhausted:  drivers.Throttled,
	gcerrors.FailedPrecondition: drivers.Transient, // RabbitMQ: the connection was closed
}

func classify(ctx context.Context, queue, op string, err error) error {
	code := drivers.Transient
	if invoke.Ends(err) { // the error is from gocloud's driver, which may be the user's
		if c, ok := codes[gcerrors.Code(err)]; ok {
			code = c
		}
	}
	return drivers.Wrap(ctx, code, queue, op, err, "")
}

var errClosed = errors.New("it was closed")

func closed(queue, op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: queue, Op: op, Err: errClosed}
}

// all returns err n times.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
