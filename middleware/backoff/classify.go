package backoff

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net"
	"net/http"
	"reflect"
	"strings"
)

// Class says whether another attempt may mend an error.
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

// A Classifier sorts an error, which is never nil, into its class. It is called
// concurrently.
type Classifier func(err error) Class

// Classify is the default [Classifier]. It looks at err and what it wraps, from
// the outside in, and goes by the first error that it knows:
//
//   - an end of the context, a network error, a timeout: transient
//   - an error with Retryable() bool: as it says
//   - an HTTP status, by StatusCode() int or HTTPStatusCode() int, or a
//     *googleapi.Error: 408, 409, 425, 429 and 5xx are transient, other 4xx
//     permanent
//   - an AWS error (smithy's APIError): throttling, timeouts and expired
//     credentials are transient; otherwise the HTTP status or the fault counts:
//     server transient, client permanent
//   - a gRPC status: Canceled, DeadlineExceeded, ResourceExhausted, Aborted,
//     Internal, Unavailable and DataLoss are transient; InvalidArgument,
//     NotFound, AlreadyExists, PermissionDenied, OutOfRange, Unimplemented and
//     Unauthenticated permanent
//   - a gocloud.dev error: the codes of the same names, likewise
//     (FailedPrecondition is unknown in both: docstore uses it for a write
//     conflict)
//   - what encoding/json, xml, base64 and hex say of bad input, and types called
//     ValidationError or ValidationErrors: permanent
//
// Of joined errors (errors.Join, several %w) a transient one outweighs a
// permanent one, and that an unknown one.
//
// The types of gRPC, gocloud.dev and the Google and AWS SDKs are recognised by
// their methods and names: a program that does not use them must not link them,
// and gocloud.dev/gcerrors alone would bring in all of gRPC.
//
// Beware of permanent errors that come out of a dependency's fault: a gateway's
// HTML error page read as JSON is a syntax error. Wrap those in
// handler.RetryAfter, or give [Config] a [Classifier] that knows them. The same
// goes for 401 and 403 where credentials are expected to come back by themselves.
func Classify(err error) Class {
	for err != nil {
		if c := classifyOne(err); c != Unknown {
			return c
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			return classifyJoined(many.Unwrap())
		}
		err = errors.Unwrap(err)
	}
	return Unknown
}

func classifyJoined(errs []error) Class {
	joined := Unknown
	for _, err := range errs {
		switch Classify(err) {
		case Transient:
			return Transient
		case Permanent:
			joined = Permanent
		case Unknown:
		}
	}
	return joined
}

// classifyOne looks at err alone, not at what it wraps.
func classifyOne(err error) Class {
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // the caller walks
		return Transient
	}
	switch e := err.(type) { //nolint:errorlint // the caller walks
	case interface{ Retryable() bool }:
		if e.Retryable() {
			return Transient
		}
		return Permanent
	case *json.SyntaxError, *json.UnmarshalTypeError,
		*xml.SyntaxError, xml.UnmarshalError, *xml.TagPathError,
		base64.CorruptInputError, hex.InvalidByteError:
		return Permanent
	case *net.OpError, *net.DNSError:
		return Transient
	case interface{ Timeout() bool }:
		// A syscall.Errno and an *url.Error have it too, so false says nothing.
		if e.Timeout() {
			return Transient
		}
	}
	if err == hex.ErrLength { //nolint:errorlint // the caller walks
		return Permanent
	}
	if e, ok := err.(interface{ ErrorCode() string }); ok && awsTransient[e.ErrorCode()] {
		return Transient
	}
	switch e := err.(type) { //nolint:errorlint // the caller walks
	case interface{ HTTPStatusCode() int }:
		return classifyResponse(err, e.HTTPStatusCode())
	case interface{ StatusCode() int }:
		return classifyResponse(err, e.StatusCode())
	}
	return classifyByName(err)
}

// classifyResponse classifies by an HTTP status. An AWS throttling error comes
// with status 400, and its code is in an error inside the one with the status.
func classifyResponse(err error, status int) Class {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) && awsTransient[api.ErrorCode()] {
		return Transient
	}
	return classifyStatus(status)
}

func classifyStatus(status int) Class {
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusConflict,
		status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return Transient
	case status >= 400:
		return Permanent
	default:
		return Unknown
	}
}

// classifyByName knows the types that would be too costly to link.
func classifyByName(err error) Class {
	v := reflect.ValueOf(err)
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		if v.IsNil() {
			return Unknown
		}
		t = t.Elem()
	}
	switch path, name := t.PkgPath(), t.Name(); {
	case name == "ValidationError" || name == "ValidationErrors":
		return Permanent
	case name == "Error" && path == "gocloud.dev/internal/gcerr":
		return gocloudClasses[intField(v, "Code")]
	case name == "Error" && strings.HasSuffix(path, "google.golang.org/api/googleapi"):
		return classifyStatus(int(intField(v, "Code")))
	}
	if status := call(v, v.MethodByName("GRPCStatus")); status.IsValid() {
		if code := call(status, status.MethodByName("Code")); code.IsValid() && code.CanUint() {
			return grpcClasses[code.Uint()]
		}
	}
	if fault := call(v, v.MethodByName("ErrorFault")); fault.IsValid() && fault.CanInt() {
		return smithyClasses[fault.Int()]
	}
	return Unknown
}

// intField returns the named integer field of the struct that v is or points
// to, or 0.
func intField(v reflect.Value, name string) int64 {
	if f := reflect.Indirect(v).FieldByName(name); f.IsValid() && f.CanInt() {
		return f.Int()
	}
	return 0
}

// call calls a method of receiver that takes nothing and returns one value, or
// returns the zero Value where it is no such method.
func call(receiver, method reflect.Value) reflect.Value {
	if receiver.Kind() == reflect.Pointer && receiver.IsNil() {
		return reflect.Value{}
	}
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return reflect.Value{}
	}
	return method.Call(nil)[0]
}
