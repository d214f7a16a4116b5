package pubsub

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
)

// codeOf maps gRPC's codes. What is missing is unclassified.
var codeOf = map[codes.Code]drivers.Code{
	codes.NotFound:           drivers.NotFound,
	codes.PermissionDenied:   drivers.Denied,
	codes.Unauthenticated:    drivers.Transient, // but for opening: see wrap
	codes.InvalidArgument:    drivers.Invalid,
	codes.OutOfRange:         drivers.Invalid,
	codes.AlreadyExists:      drivers.Invalid,
	codes.FailedPrecondition: drivers.Invalid,
	codes.Unimplemented:      drivers.Unsupported,
	codes.ResourceExhausted:  drivers.Throttled,
	codes.Unavailable:        drivers.Transient,
	codes.DeadlineExceeded:   drivers.Transient,
	codes.Aborted:            drivers.Transient,
	codes.Internal:           drivers.Transient,
	codes.DataLoss:           drivers.Transient,
	codes.Unknown:            drivers.Transient,
	codes.Canceled:           drivers.Transient, // not by our caller: drivers.Wrap has looked
}

// wrap gives an error of the SDK its code and a way out.
func wrap(ctx context.Context, on name, op string, err error) error {
	if err == nil {
		return nil
	}
	code := codeOf[status.Code(err)]
	if status.Code(err) != codes.Unauthenticated {
		return drivers.Wrap(ctx, code, on.String(), op, err, remedy(code, on, op))
	}
	// Credentials that were good when the queue was opened have expired, and are
	// renewed: an outage. PermissionDenied is a right that is missing.
	if op == "open" {
		code = drivers.Denied
	}
	return drivers.Wrap(ctx, code, on.String(), op, err, remedyCredentials)
}

const remedyCredentials = "the credentials have expired or are not valid: renew them; gcloud auth application-default print-access-token tries them"

// remedy says what may be done about an error.
func remedy(code drivers.Code, on name, op string) string {
	one := "topic"
	if on.kind == kindSubscription {
		one = "subscription"
	}
	switch code {
	case drivers.NotFound:
		return "create the " + one + " with sluice apply, or check project and name in the URL"
	case drivers.Denied:
		switch {
		case on.kind == kindTopic:
			return "grant roles/pubsub.publisher on the topic to whom this program runs as"
		case op == "open":
			return "grant roles/pubsub.subscriber and roles/pubsub.viewer on the subscription to whom this program runs as"
		}
		return "grant roles/pubsub.subscriber on the subscription to whom this program runs as"
	case drivers.Transient:
		if host := emulatorHost(); host != "" {
			return "is the emulator running? PUBSUB_EMULATOR_HOST is " + host
		}
	}
	return ""
}

// invalid is an error of the caller's. Where the name itself is invalid, on is the
// zero name.
func invalid(on name, op string, err error) error {
	e := &drivers.Error{Code: drivers.Invalid, Op: op, Err: err}
	if !on.zero() {
		e.Queue = on.String()
	}
	return e
}

// closed is the error of a source or a sink that was closed.
func closed(on name, op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: on.String(), Op: op, Err: errors.New("it was closed")}
}

// An outcome gathers the errors of a batch. Its methods may be called
// concurrently, for different items.
type outcome struct {
	n    int
	mu   sync.Mutex
	errs []error // nil until there is one
}

func (o *outcome) set(i int, err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.errs == nil {
		o.errs = make([]error, o.n)
	}
	o.errs[i] = err
}

// all is one error for every item.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
