package pubsub

import (
	"context"
	"errors"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
)

// The service's statements about an ack ID, with exactly-once delivery.
const (
	ackIDGone      = "PERMANENT_FAILURE_INVALID_ACK_ID"
	ackIDTransient = "TRANSIENT_FAILURE"
)

// An ackRequest acts on ack IDs: it acknowledges messages or sets their deadlines.
type ackRequest struct {
	*subscription
	op   string
	call func(ids []string) error
	done func(i int, err error) // called once for each index
}

// do makes as many calls as the ack IDs need, one after the other.
func (r *ackRequest) do(ctx context.Context, idx []int, receipt func(int) string) {
	ids := make([]string, len(idx))
	for n, i := range idx {
		ids[n] = receipt(i)
	}
	begin, size := 0, 0
	for n, id := range ids {
		if n > begin && (n-begin == maxAckIDs || size+len(id) > maxAckBytes) {
			r.once(ctx, idx[begin:n], ids[begin:n])
			begin, size = n, 0
		}
		size += len(id) + 4 // tag and length
	}
	r.once(ctx, idx[begin:], ids[begin:])
}

// once makes one call, and further calls for parts of it if the service accepts only
// part of the ack IDs.
func (r *ackRequest) once(ctx context.Context, idx []int, ids []string) {
	err := r.call(ids)
	if err == nil {
		for _, i := range idx {
			r.done(i, nil)
		}
		return
	}
	if failed := failedAckIDs(err); failed != nil && ctx.Err() == nil {
		r.rest(ctx, idx, ids, failed, err)
		return
	}
	// One malformed ack ID spoils its whole request: halve it until the ID is alone.
	if status.Code(err) == codes.InvalidArgument && len(ids) > 1 {
		half := len(ids) / 2
		r.once(ctx, idx[:half], ids[:half])
		r.once(ctx, idx[half:], ids[half:])
		return
	}
	err = r.wrap(ctx, r.sub, r.op, err)
	for _, i := range idx {
		r.done(i, err)
	}
}

// rest reports the service's statements about single ack IDs, in failed, and settles
// the others again. The service may have settled these already; to do so twice is
// harmless.
func (r *ackRequest) rest(ctx context.Context, idx []int, ids []string, failed map[string]string, err error) {
	var restIdx []int
	var rest []string
	for n, i := range idx {
		if text, ok := failed[ids[n]]; ok {
			r.done(i, r.fault(text))
			continue
		}
		restIdx, rest = append(restIdx, i), append(rest, ids[n])
	}
	switch len(rest) {
	case 0:
	case len(ids): // failed names other ack IDs
		for _, i := range idx {
			r.done(i, r.wrap(ctx, r.sub, r.op, err))
		}
	default:
		r.once(ctx, restIdx, rest)
	}
}

// fault returns the error for the service's statement about one ack ID.
func (r *ackRequest) fault(text string) error {
	code := drivers.Invalid
	switch {
	case text == ackIDGone:
		code = drivers.LeaseLost
	case strings.HasPrefix(text, ackIDTransient):
		code = drivers.Transient
	}
	return &drivers.Error{Code: code, Queue: r.sub.String(), Op: r.op, Err: errors.New(text)}
}

// failedAckIDs returns the service's statements about single ack IDs, which it makes
// with exactly-once delivery, or nil if err has none.
func failedAckIDs(err error) map[string]string {
	e, ok := apierror.FromError(err)
	if !ok {
		return nil
	}
	meta := e.Metadata()
	for _, v := range meta {
		if strings.HasPrefix(v, "PERMANENT_FAILURE") || strings.HasPrefix(v, ackIDTransient) {
			return meta
		}
	}
	return nil
}
