package drivers

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/internal/foreign"
	"github.com/sluice-go/sluice/internal/invoke"
)

// A Code is the kind of an error of a driver, the same for all providers.
type Code uint8

// The codes. They form a closed set; a driver maps each of its provider's
// errors to one.
const (
	// Unclassified is the zero Code: an error that no driver made.
	Unclassified Code = iota
	// Transient errors (network, 5xx) may be gone at the next attempt.
	Transient
	// Throttled means that the provider asks for fewer requests.
	Throttled
	// NotFound means that the queue does not exist.
	NotFound
	// Denied means no permission or no credentials.
	Denied
	// Invalid means that the request can never succeed unchanged.
	Invalid
	// LeaseLost means that the receipt is no longer valid.
	LeaseLost
	// Unsupported means that the provider or this queue cannot do it.
	Unsupported
	// Closed means that the source or sink was closed.
	Closed
)

// The sentinels of the codes, for errors.Is.
var (
	ErrTransient   error = Transient
	ErrThrottled   error = Throttled
	ErrNotFound    error = NotFound
	ErrDenied      error = Denied
	ErrInvalid     error = Invalid
	ErrLeaseLost   error = LeaseLost
	ErrUnsupported error = Unsupported
	ErrClosed      error = Closed
)

var codeNames = [...]string{
	Unclassified: "unclassified", Transient: "transient", Throttled: "throttled",
	NotFound: "not found", Denied: "denied", Invalid: "invalid",
	LeaseLost: "lease lost", Unsupported: "unsupported", Closed: "closed",
}

// Error returns the code's name, so that a Code is a sentinel for errors.Is.
func (c Code) Error() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// Retryable is true for the codes that another attempt may mend.
func (c Code) Retryable() bool { return c == Transient || c == Throttled || c == Unclassified }

// Error is an error of a driver: which queue, which operation, what kind, why,
// and what may be done.
type Error struct {
	Code  Code
	Queue string
	// Op is the operation, as in "receive" or "send".
	Op string
	// Err is the cause, usually the SDK's error.
	Err error
	// Remedy is a phrase that says what to do. It may be empty.
	Remedy string
}

// Error returns queue, operation, code, cause and remedy in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Queue != "" {
		fmt.Fprintf(&b, "queue %q: ", e.Queue)
	}
	if e.Op != "" {
		fmt.Fprintf(&b, "%s: ", e.Op)
	}
	b.WriteString(e.Code.Error())
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", e.Remedy)
	}
	return b.String()
}

// ErrorType returns the kind of e for telemetry, as OpenTelemetry's error.type: the
// code's name with underscores for spaces. A transient error whose cause is that
// the provider was not reached is "unreachable", or "timeout". There are at most
// ten values.
func (e *Error) ErrorType() string {
	if e.Code == Transient {
		if unreached, timeout := foreign.Network(e.Err); timeout {
			return "timeout"
		} else if unreached {
			return "unreachable"
		}
	}
	return strings.ReplaceAll(e.Code.Error(), " ", "_")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is is true where target is the error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the code of err: that of the outermost [*Error] in it, or
// Unclassified. A context's error has no code: it is the caller's own.
func CodeOf(err error) Code {
	if e, ok := invoke.As[*Error](err); ok {
		return e.Code
	}
	if c, ok := invoke.As[Code](err); ok {
		return c
	}
	return Unclassified
}

// Wrap gives err a code, unless it is nil, an [*Error] already, or ctx's own
// end. A driver wraps by it alone.
func Wrap(ctx context.Context, code Code, queue, op string, err error, remedy string) error {
	if err == nil {
		return nil
	}
	if _, ok := invoke.As[*Error](err); ok {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return &Error{Code: code, Queue: queue, Op: op, Err: err, Remedy: remedy}
}
