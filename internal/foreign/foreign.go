// Package foreign reads errors of other modules without linking them: a program that
// does not use gRPC or Google's clients must not carry them. It looks at one error, not
// at what that wraps, and calls methods of it, which are the user's: callers guard
// themselves by package invoke.
package foreign

import (
	"context"
	"net"
	"reflect"
	"strings"

	"github.com/sluice-go/sluice/internal/invoke"
)

// GRPC returns the code of an error with a gRPC status, by its method GRPCStatus.
func GRPC(err error) (code uint64, ok bool) {
	v := reflect.ValueOf(err)
	status := Call(v, v.MethodByName("GRPCStatus"))
	if !status.IsValid() {
		return 0, false
	}
	if n := Call(status, status.MethodByName("Code")); n.IsValid() && n.CanUint() {
		return n.Uint(), true
	}
	return 0, false
}

// Google returns the HTTP status of a *googleapi.Error, which has a field for it and no
// method.
func Google(err error) (status int, ok bool) {
	n, ok := Field(err, "Code", func(path, name string) bool {
		return name == "Error" && strings.HasSuffix(path, "google.golang.org/api/googleapi")
	})
	return int(n), ok
}

// Field returns an integer field of a struct, or of one that err points to, if its type
// is one that is looked for.
func Field(err error, field string, is func(path, name string) bool) (n int64, ok bool) {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return 0, false
		}
		v = v.Elem()
	}
	if t := v.Type(); t.Kind() != reflect.Struct || !is(t.PkgPath(), t.Name()) {
		return 0, false
	}
	if f := v.FieldByName(field); f.IsValid() && f.CanInt() {
		return f.Int(), true
	}
	return 0, false
}

// Call calls a method of receiver that takes nothing and returns one value. It returns
// the zero Value if there is no such method, or receiver is a nil pointer.
func Call(receiver, method reflect.Value) reflect.Value {
	if receiver.Kind() == reflect.Pointer && receiver.IsNil() {
		return reflect.Value{}
	}
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return reflect.Value{}
	}
	return method.Call(nil)[0]
}

// Network reports whether err, or an error that it wraps, is a failed connection or a
// timeout.
func Network(err error) (unreached, timeout bool) {
	if n, ok := invoke.As[net.Error](err); invoke.Is(err, context.DeadlineExceeded) || ok && n.Timeout() {
		return false, true
	}
	_, dial := invoke.As[*net.OpError](err)
	_, name := invoke.As[*net.DNSError](err)
	return dial || name, false
}
