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

// Why a message is rejected; found with errors.Is.
var (
	// ErrMalformed: the message says that it is a pointer, and its body is none.
	ErrMalformed = errors.New("claim check: malformed pointer")
	// ErrForeign: the pointer leads to where nothing may be read.
	ErrForeign = errors.New("claim check: refused pointer")
	// ErrLost: the body is gone.
	ErrLost = errors.New("claim check: the body is lost")
	// ErrTooLarge: the body is larger than Config.MaxBytes.
	ErrTooLarge = errors.New("claim check: the body is too large")
)

type key struct{}

// Open returns a message's body to read: from the bucket where the message is a
// pointer and [Check.Stream] is around the handler, and the message's Body where
// it is none, so that a handler need not tell one from the other. The caller
// closes it. There is no limit on what can be read, and ctx ends it, as a bucket does
// that gives no byte for 30 seconds.
//
// An error of Open is to be returned by the handler: it is a verdict, a
// rejection where the body will never be had. Where a message is a pointer and
// nothing is around the handler the error is a retry, since only the consumer is
// wrong.
func Open(ctx context.Context, m *handler.Message) (io.ReadCloser, error) {
	if !Claimed(m) {
		return io.NopCloser(bytes.NewReader(m.Body)), nil
	}
	c, ok := handler.MessageContext(ctx, m).Value(key{}).(*Check)
	if !ok {
		return nil, errors.New("claim check: the message is a pointer, and no Check.Stream is around the handler")
	}
	r, _, err := c.open(ctx, m)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// failure is the verdict on a body that could not be opened: a rejection only
// where it is the body that is missing. Stores say the same of a missing bucket
// (S3: also of one in another region), and then no message is at fault.
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

// storeError is trouble with the store. It says that it may pass, or the backoff
// middleware would take what a store calls "denied" or "not found" for a fault
// of the message, and a withdrawn permission would dead-letter every one.
type storeError struct{ error }

// Retryable returns true.
func (storeError) Retryable() bool { return true }

// Unwrap returns the store's error.
func (e storeError) Unwrap() error { return errors.Unwrap(e.error) }

func trouble(p *pointer, what string, err error) error {
	return storeError{fmt.Errorf("claim check: get the body from %v: %s%w", p, what, err)}
}
