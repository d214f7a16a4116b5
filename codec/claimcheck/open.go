package claimcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

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

// outageWait is the shortest time after which a message is looked at again whose body
// could not be read because the bucket is away; the longest is twice that.
const outageWait = 10 * time.Second

// failure returns the verdict on a body that could not be read. ctx is the handler's.
//
// A missing body is a rejection. If the bucket itself cannot be read, or is a folder that is
// missing, no message is at fault: it is postponed, because an outage would use up the attempts
// of every message that comes meanwhile. Anything else is a retry, which ends. Stores report a
// missing bucket (S3: also one in another region, Cloud Storage: one that may not be listed)
// like a missing body, so the bucket is asked.
func failure(ctx context.Context, b *Bucket, p *pointer, err error) error {
	if ctx.Err() != nil {
		return trouble(p, "", err)
	}
	w := watched(ctx, silence)
	defer w.end()
	there, aerr := b.Blob.IsAccessible(w.ctx)
	lost := gcerrors.Code(err) == gcerrors.NotFound
	switch {
	case ctx.Err() != nil:
		return trouble(p, "", err)
	case b.folder && !isFolder(b.Blob):
		return away(trouble(p, "the folder is not there: ", err))
	case aerr == nil && !there:
		return trouble(p, "the bucket is not there: ", err)
	case aerr != nil && gcerrors.Code(aerr) != gcerrors.PermissionDenied:
		return away(trouble(p, "", err))
	case lost:
		return handler.Reject(fmt.Errorf("%w: bucket %q has no key %q (deleted after another delivery's ack, or by a lifecycle rule?)", ErrLost, p.bucket, p.key))
	}
	return trouble(p, "", err)
}

// away postpones a message whose body's bucket is away.
func away(err error) error { return handler.Postpone(outageWait+rand.N(outageWait), err) }

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
