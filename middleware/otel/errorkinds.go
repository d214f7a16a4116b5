package otel

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// maxErrorKinds bounds the values that error.type has on metrics: each is a series, and
// some errors give a code of the user's.
const maxErrorKinds = 64

// failureKinds are the kinds of failed receives whose counters begin at zero: those that
// a driver gives.
var failureKinds = [...]string{"transient", "throttled", "not_found", "denied", "invalid", typeUnreachable, typeTimeout}

// errorKinds are the values of error.type that were used on metrics.
type errorKinds struct {
	mu   sync.Mutex
	seen map[string]bool
}

// bound returns kind, or the value for others if there are too many kinds already.
func (k *errorKinds) bound(kind attribute.KeyValue) attribute.KeyValue {
	s := kind.Value.AsString()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.seen[s] {
		if len(k.seen) >= maxErrorKinds {
			return semconv.ErrorTypeOther
		}
		if k.seen == nil {
			k.seen = make(map[string]bool)
		}
		k.seen[s] = true
	}
	return kind
}
