package pubsub

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
)

// codeOf maps gRPC's codes. Others are unclassified.
var codeOf = map[codes.Code]drivers.Code{
	codes.NotFound:           drivers.NotFound,
	codes.PermissionDenied:   drivers.Denied,
	codes.Unauthenticated:    drivers.Transient, // except when opening: see wrap
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
	codes.Canceled:           drivers.Transient, // not by our caller: see drivers.Wrap
}

// wrap wraps an error of the SDK with its code and a remedy.
func wrap(ctx context.Context, on name, op string, err error) error {
	if err == nil {
		return nil
	}
	code := codeOf[status.Code(err)]
	if status.Code(err) != codes.Unauthenticated {
		return drivers.Wrap(ctx, code, on.String(), op, err, remedy(code, on, op))
	}
	// Credentials that were valid when the queue was opened have expired, and are
	// renewed: an outage. PermissionDenied is a missing right.
	if op == "open" {
		code = drivers.Denied
	}
	return drivers.Wrap(ctx, code, on.String(), op, err, remedyCredentials)
}

const remedyCredentials = "the credentials have expired or are not valid: renew them; gcloud auth application-default print-access-token tries them"

// remedy returns the remedy for an error.
func remedy(code drivers.Code, on name, op string) string {
	one := "topic"
	if on.kind == kindSubscription {
		one = "subscription"
	}
	switch code {
	case drivers.NotFound:
		return "create the " + one + " by applying its configuration, or check project and name in the URL"
	case drivers.Denied:
		switch {
		case on.kind == kindTopic:
			return "grant roles/pubsub.publisher on the topic to the identity of this program"
		case op == "open":
			return "grant roles/pubsub.subscriber and roles/pubsub.viewer on the subscription to the identity of this program"
		}
		return "grant roles/pubsub.subscriber on the subscription to the identity of this program"
	case drivers.Transient:
		if host := emulatorHost(); host != "" {
			return "is the emulator running? PUBSUB_EMULATOR_HOST is " + host
		}
	}
	return ""
}

// invalid returns an error of the caller's. If the name itself is invalid, on is the
// zero name.
func invalid(on name, op string, err error) error {
	e := &drivers.Error{Code: drivers.Invalid, Op: op, Err: err}
	if !on.zero() {
		e.Queue = on.String()
	}
	return e
}

// noDeadLetter returns the error of an operation that needs a dead-letter topic.
func noDeadLetter(queue, op string) error {
	return &drivers.Error{Code: drivers.Unsupported, Queue: queue, Op: op, Err: errors.New("the subscription has no dead-letter topic"),
		Remedy: "give the subscription a dead-letter policy, for example by applying a configuration with dead_letter, or name a topic with the parameter dead_letter"}
}

// closed returns the error of a source or a sink that was closed.
func closed(on name, op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: on.String(), Op: op, Err: errors.New("it was closed")}
}

// An outcome collects the errors of a batch. Its methods may be called
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

// all returns n copies of err.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
