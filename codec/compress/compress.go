package compress

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

// Attribute is the message attribute that names a body's encoding, by the names
// of HTTP's Content-Encoding. It is written in lower case and read in any, as HTTP does.
const Attribute = "content-encoding"

// The encodings.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

const identity = "identity"

func known() string { return strings.Join([]string{Gzip, identity, Zstd}, ", ") }

var (
	// ErrTooLarge is in the error of a body that would be longer than MaxBytes.
	ErrTooLarge = errors.New("the decompressed body is too large")
	// ErrUnknownEncoding is in the error of a body in an encoding that this
	// package does not know.
	ErrUnknownEncoding = errors.New("unknown content-encoding")
)

// Codec returns a codec that compresses what inner writes, and decompresses what
// inner reads. A nil inner is [handler.JSON], a nil config has the defaults.
//
// Decode leaves the message as it is and gives inner a copy. Encode replaces a
// content-encoding that the message has from an earlier life, and fails where
// inner sets one itself.
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

// Middleware returns the middleware that hands the handler a copy of each
// compressed message with its body decompressed and without the attribute. What
// cannot be decompressed is rejected and does not reach the handler. The message
// itself is not changed. Of config only MaxBytes matters; nil has the defaults.
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
