package compress

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

// contentEncoding is the attribute that names a body's encoding, as HTTP's header of
// this name. It is written in lower case and read in any.
const contentEncoding = "content-encoding"

// The encodings.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

const identity = "identity"

func known() string { return strings.Join([]string{Gzip, identity, Zstd}, ", ") }

var (
	// ErrTooLarge is the error of a body that would be longer than MaxBytes.
	ErrTooLarge = errors.New("the decompressed body is too large")
	// ErrUnknownEncoding is the error of a body in an encoding that this package
	// does not support.
	ErrUnknownEncoding = errors.New("unknown content-encoding")
)

// Codec returns a codec that compresses the bodies that inner writes, and
// decompresses those that inner reads. A nil inner is [handler.JSON]. A nil config
// selects the defaults.
//
// Decode does not change the message; it passes a copy to inner. Encode replaces a
// content-encoding that the message already has, and fails if inner sets one.
func Codec(inner handler.Codec, config *Config) (handler.Codec, error) {
	if inner == nil {
		inner = handler.JSON
	}
	t, err := newTransformer(config)
	if err != nil {
		return nil, err
	}
	return &codec{inner: inner, t: t}, nil
}

// Middleware returns a middleware that passes a copy of each compressed message to
// the handler, with its body decompressed and without the attribute. A message that
// can't be decompressed is rejected and does not reach the handler. The message
// itself is not changed. Only MaxBytes of config is used. A nil config selects the
// defaults.
func Middleware(config *Config) (handler.Middleware, error) {
	t, err := newTransformer(config)
	if err != nil {
		return nil, err
	}
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			plain, err := t.inflate(m)
			if err != nil {
				return handler.Reject(fmt.Errorf("message %q: %w", m.ID, err))
			}
			return next.Handle(ctx, plain)
		})
	}, nil
}
