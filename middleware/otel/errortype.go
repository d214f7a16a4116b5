package otel

import (
	"context"
	"reflect"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/foreign"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The values of error.type that no provider gives.
const (
	typePanic       = "panic"
	typeTimeout     = "timeout"
	typeCanceled    = "canceled"
	typeUnreachable = "unreachable"
	typeLeaseLost   = "lease_lost"
)

// longestType bounds a code that an error gives, which becomes a label.
const longestType = 64

// errorType says of which kind the cause is, not the verdict around it. It is of
// low cardinality, as a metric needs it: the kind that a driver's error has
// (throttled, denied, unreachable), or else the code of the service that gave the
// error (AWS, a SQLSTATE, gRPC, an HTTP status), or else timeout, canceled,
// lease_lost or unreachable, or else the Go type.
func errorType(err error) attribute.KeyValue {
	cause := handler.Cause(err)
	if cause == nil {
		return semconv.ErrorTypeOther
	}
	value := semconv.ErrorTypeOther
	// The methods of errors are the user's.
	_ = invoke.Do(func() {
		if s := codeOf(cause); s != "" {
			value = semconv.ErrorTypeKey.String(s)
			return
		}
		value = typeName(cause)
	})
	return value
}

// typeName is err's Go type, unless a method ErrorType gives what is not a label. An
// error that unwraps to itself has none: semconv walks to the end.
func typeName(err error) attribute.KeyValue {
	if _, ok := invoke.As[interface {
		error
		ErrorType() string
	}](err); ok || !invoke.Ends(err) {
		return semconv.ErrorTypeOther
	}
	return semconv.ErrorType(err)
}

// codeOf returns err's kind or code, or "" if it has none that is known.
func codeOf(err error) string {
	if e, ok := invoke.As[interface {
		error
		ErrorType() string
	}](err); ok {
		s := e.ErrorType()
		if s == "transient" && remoteStatus(err) == "unavailable" {
			return typeUnreachable // gRPC's word for a connection that can't be made
		}
		if label(s) {
			return s
		}
	}
	if _, ok := invoke.As[*handler.PanicError](err); ok {
		return typePanic
	}
	if invoke.Is(err, handler.ErrLeaseLost) {
		return typeLeaseLost
	}
	if e, ok := invoke.As[interface {
		error
		ErrorCode() string
	}](err); ok && label(e.ErrorCode()) {
		return e.ErrorCode()
	}
	if e, ok := invoke.As[interface {
		error
		SQLState() string
	}](err); ok && label(e.SQLState()) {
		return e.SQLState()
	}
	if s := remoteStatus(err); s != "" {
		return s
	}
	return localKind(err)
}

// localKind is how err failed here, or "".
func localKind(err error) string {
	switch unreached, timeout := foreign.Network(err); {
	case timeout && (invoke.Is(err, context.DeadlineExceeded) || !invoke.Is(err, context.Canceled)):
		return typeTimeout
	case invoke.Is(err, context.Canceled):
		return typeCanceled
	case unreached:
		return typeUnreachable
	default:
		return ""
	}
}

// label reports whether s may be the value of a label: short, and without what
// differs from one message to the next.
func label(s string) bool {
	if s == "" || len(s) > longestType {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.', c == ':', c == '#':
		default:
			return false
		}
	}
	return true
}

// grpcNames are the codes of google.golang.org/grpc/codes. They are part of the
// wire format and do not change.
var grpcNames = [...]string{
	1: typeCanceled, 2: "unknown", 3: "invalid_argument", 4: typeTimeout, 5: "not_found", 6: "already_exists",
	7: "permission_denied", 8: "resource_exhausted", 9: "failed_precondition", 10: "aborted", 11: "out_of_range",
	12: "unimplemented", 13: "internal", 14: "unavailable", 15: "data_loss", 16: "unauthenticated",
}

// remoteStatus is the status of gRPC or HTTP that an error in the chain has. The
// types of gRPC and of Google's client would be too costly to link.
func remoteStatus(err error) (status string) {
	invoke.Walk(err, func(e error) (known bool) {
		status, known = ownStatus(e)
		return known
	})
	return status
}

// ownStatus examines only e, not the errors that it wraps.
func ownStatus(e error) (status string, known bool) {
	if v := reflect.ValueOf(e); v.Kind() == reflect.Pointer && v.IsNil() {
		return "", true
	}
	if code, ok := foreign.GRPC(e); ok && code > 0 && code < uint64(len(grpcNames)) {
		return grpcNames[code], true
	}
	switch s := e.(type) { //nolint:errorlint // the caller walks
	case interface{ HTTPStatusCode() int }:
		return httpStatus(s.HTTPStatusCode()), true
	case interface{ StatusCode() int }:
		return httpStatus(s.StatusCode()), true
	}
	code, ok := foreign.Google(e)
	return httpStatus(code), ok
}

func httpStatus(code int) string {
	if code < 100 || code > 999 {
		return ""
	}
	return strconv.Itoa(code)
}
