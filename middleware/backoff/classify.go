package backoff

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"

	"github.com/sluice-go/sluice/internal/foreign"
	"github.com/sluice-go/sluice/internal/invoke"
)

// Class reports whether another attempt may succeed after an error.
type Class uint8

// The classes.
const (
	// Unknown errors are retried, since a message must not be given up for want
	// of knowledge.
	Unknown Class = iota
	// Transient errors are retried.
	Transient
	// Permanent errors will be the same at the next attempt: the message is
	// rejected.
	Permanent
)

// Classify sorts err, which must not be nil, into its class. It looks at err and what it wraps, from
// the outside in, and goes by the first error that it knows:
//
//   - an end of the context, a network error, a timeout, a broken connection of
//     database/sql, io.ErrUnexpectedEOF: transient
//   - an error with Retryable() bool: as it says
//   - an HTTP status, by StatusCode() int or HTTPStatusCode() int, or a
//     *googleapi.Error: 408, 409, 425, 429 and 5xx are transient
//   - an AWS error (smithy's APIError): throttling, timeouts, expired credentials
//     and faults of the server are transient
//   - a gRPC status: Canceled, DeadlineExceeded, ResourceExhausted, Aborted,
//     Internal, Unavailable and DataLoss are transient
//   - a gocloud.dev error: the codes of the same names, likewise
//   - a SQL error, by SQLState() string: the classes 08 (connection), 40 (rollback),
//     53 (resources), 57 (operator) and 58 (system) are transient
//
// All else is unknown, and retried. Classify calls no error of a dependency
// permanent: a dependency that is down answers with a page that is not JSON, a
// truncated response, 401, 403 or 404, AccessDenied or Unauthenticated, and the same
// message succeeds once it is up. An error is permanent if the handler marks it, by
// handler.Reject, backoff.Permanent or Retryable() false, or if [Config] does, by
// Permanent or Classifier. handler.Typed and the other codecs reject a message whose
// own body can't be decoded; a handler that decodes the body itself must reject it
// itself.
//
// Of joined errors (errors.Join, several %w) a transient one outweighs a
// permanent one, and that an unknown one.
//
// The types of gRPC, gocloud.dev and the Google and AWS SDKs are recognised by
// their methods and names, so that a program that does not use them does not
// link them; gocloud.dev/gcerrors alone would bring in all of gRPC.
//
// An error that unwraps to itself, or has a method that panics, is unknown.
func Classify(err error) Class { return codes(nil).classify(err) }

// codes are those that [Config.Permanent] names.
type codes map[string]bool

// classify calls methods of err, which is the user's.
func (c codes) classify(err error) (class Class) {
	if invoke.DoApart(func() {
		left := maxErrors
		class = c.walk(err, &left)
	}) != nil {
		return Unknown
	}
	return class
}

// maxErrors is how many errors of a tree are looked at: one that unwraps to itself
// has no end.
const maxErrors = 1000

// walk looks at left errors at most.
func (c codes) walk(err error, left *int) Class {
	for ; err != nil && *left > 0; *left-- {
		if class := c.classifyOne(err); class != Unknown {
			return class
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			*left--
			return c.walkJoined(many.Unwrap(), left)
		}
		err = errors.Unwrap(err)
	}
	return Unknown
}

func (c codes) walkJoined(errs []error, left *int) Class {
	joined := Unknown
	for _, err := range errs {
		switch c.walk(err, left) {
		case Transient:
			return Transient
		case Permanent:
			joined = Permanent
		case Unknown:
		}
	}
	return joined
}

// classifyOne examines only err, not the errors that it wraps.
func (c codes) classifyOne(err error) Class {
	switch err { //nolint:errorlint // the caller walks
	case context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone:
		return Transient
	}
	switch e := err.(type) { //nolint:errorlint // the caller walks
	case interface{ Retryable() bool }:
		return classifyRetryable(err, e.Retryable())
	case *net.OpError, *net.DNSError:
		return Transient
	case interface{ Timeout() bool }:
		// A syscall.Errno and an *url.Error have it too, so false says nothing.
		if e.Timeout() {
			return Transient
		}
	}
	if e, ok := err.(interface{ ErrorCode() string }); ok {
		if class := c.classifyAWS(e.ErrorCode()); class != Unknown {
			return class
		}
	}
	if e, ok := err.(interface{ SQLState() string }); ok {
		return c.classifySQL(e.SQLState())
	}
	switch e := err.(type) { //nolint:errorlint // the caller walks
	case interface{ HTTPStatusCode() int }:
		return c.classifyResponse(err, e.HTTPStatusCode())
	case interface{ StatusCode() int }:
		return c.classifyResponse(err, e.StatusCode())
	}
	return c.classifyByName(err)
}

// driverCode is the type of the codes of our own drivers. They say whether a driver
// tries a request again: a queue that denies a send is not a fault of the message whose
// handler sends.
const driverCode = "github.com/sluice-go/sluice/drivers"

func classifyRetryable(err error, retryable bool) Class {
	switch {
	case retryable:
		return Transient
	case reflect.TypeOf(err).PkgPath() == driverCode:
		return Unknown
	default:
		return Permanent
	}
}

func (c codes) classifyAWS(code string) Class {
	switch {
	case c[code]:
		return Permanent
	case awsTransient[code]:
		return Transient
	default:
		return Unknown
	}
}

// classifySQL classifies by a SQLSTATE, whose first two characters are its class.
func (c codes) classifySQL(state string) Class {
	switch {
	case c[state]:
		return Permanent
	case len(state) == 5 && transientSQL[state[:2]]:
		return Transient
	default:
		return Unknown
	}
}

// classifyResponse classifies by an HTTP status. An AWS throttling error comes
// with status 400, and its code is in an error inside the one with the status.
func (c codes) classifyResponse(err error, status int) Class {
	if api, ok := invoke.As[interface {
		error
		ErrorCode() string
	}](err); ok {
		if class := c.classifyAWS(api.ErrorCode()); class != Unknown {
			return class
		}
	}
	return c.classifyStatus(status)
}

func (c codes) classifyStatus(status int) Class {
	switch {
	case c[strconv.Itoa(status)]:
		return Permanent
	case status == http.StatusRequestTimeout, status == http.StatusConflict,
		status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return Transient
	default:
		return Unknown
	}
}

// classifyByName knows the types that would be too costly to link.
func (c codes) classifyByName(err error) Class {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return Unknown
	}
	if code, ok := foreign.Field(err, "Code", isGocloud); ok {
		return c.classifyNamed(gocloudNames, uint64(code))
	}
	if status, ok := foreign.Google(err); ok {
		return c.classifyStatus(status)
	}
	if code, ok := foreign.GRPC(err); ok {
		return c.classifyNamed(grpcNames, code)
	}
	if fault := foreign.Call(v, v.MethodByName("ErrorFault")); fault.IsValid() && fault.CanInt() && fault.Int() == smithyServer {
		return Transient
	}
	return Unknown
}

func isGocloud(path, name string) bool {
	return name == "Error" && path == "gocloud.dev/internal/gcerr"
}

func (c codes) classifyNamed(names map[uint64]string, code uint64) Class {
	switch name := names[code]; {
	case c[name]:
		return Permanent
	case transientNames[name]:
		return Transient
	default:
		return Unknown
	}
}
