package claimcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/handler"
)

// The reasons for rejecting a message.
var (
	// ErrMalformed: the message has the attribute of a pointer, but its body is not
	// one.
	ErrMalformed = errors.New("claim check: malformed pointer")
	// ErrForeign: the pointer's bucket or key is not among those declared.
	ErrForeign = errors.New("claim check: refused pointer")
	// ErrLost: the body is missing.
	ErrLost = errors.New("claim check: the body is lost")
	// ErrTooLarge: the body is larger than Config.MaxBytes.
	ErrTooLarge = errors.New("claim check: the body is too large")
)

type key struct{}

// Open returns a reader of a message's body. If the message is a pointer and the
// handler is wrapped in [Check.Stream], it reads from the bucket; if the message is
// not a pointer, it reads Body, so a handler need not distinguish them. The caller
// must close the reader. Its length is not limited. Reading fails when ctx ends, or if
// the bucket returns no byte for 30 seconds.
//
// The handler should return an error of Open: it is a verdict, which is a rejection if
// the body can never be read. If the message is a pointer and the handler is not
// wrapped, the verdict is a retry, since only the consumer is wrong.
func Open(ctx context.Context, m *handler.Message) (io.ReadCloser, error) {
	if !Claimed(m) {
		return io.NopCloser(bytes.NewReader(m.Body)), nil
	}
	c, ok := handler.MessageContext(ctx, m).Value(key{}).(*Check)
	if !ok {
		return nil, errors.New("claim check: the message is a pointer, but the handler is not wrapped in Check.Stream")
	}
	r, _, err := c.open(ctx, m)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// failure returns the verdict on a body that could not be opened: a rejection only if
// the body is missing. Stores report a missing bucket in the same way (S3: also one
// in another region), for which no message is at fault.
func failure(w *watch, b *Bucket, p *pointer, err error) error {
	if gcerrors.Code(err) != gcerrors.NotFound {
		return trouble(p, "", err)
	}
	w.wait()
	there, aerr := b.Blob.IsAccessible(w.ctx)
	w.heard()
	switch {
	case aerr == nil && !there:
		return trouble(p, "the bucket is not there: ", err)
	case aerr != nil && gcerrors.Code(aerr) != gcerrors.PermissionDenied:
		return trouble(p, "", err)
	}
	return handler.Reject(fmt.Errorf("%w: bucket %q has no key %q (deleted after another delivery's ack, or by a lifecycle rule?)", ErrLost, p.bucket, p.key))
}

// A storeError is a failure of the store. It is retryable: otherwise the backoff
// middleware would take a store's "denied" or "not found" for a fault of the message,
// and a withdrawn permission would dead-letter every message.
type storeError struct{ error }

// Retryable returns true.
func (storeError) Retryable() bool { return true }

// Unwrap returns the store's error.
func (e storeError) Unwrap() error { return errors.Unwrap(e.error) }

func trouble(p *pointer, what string, err error) error {
	return storeError{fmt.Errorf("claim check: get the body from %v: %s%w", p, what, err)}
}
