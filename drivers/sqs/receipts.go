package sqs

import (
	"context"
	"strconv"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// receipts makes the batch requests that act on receipts. The parameter which of
// its methods holds the indices of the receipts; the methods set the errors at
// these indices in errs.
type receipts struct{ *queue }

// delete deletes messages.
func (r receipts) delete(ctx context.Context, op string, which []int, receipt func(int) *string, errs []error) {
	r.batches(ctx, op, which, errs, func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		for n, i := range part {
			entries[n] = types.DeleteMessageBatchRequestEntry{Id: entryID(n), ReceiptHandle: receipt(i)}
		}
		out, err := r.api.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &r.url, Entries: entries}, batchOptions...)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// change sets visibility timeouts.
func (r receipts) change(ctx context.Context, op string, which []int, receipt func(int) *string, timeout func(int) int32, errs []error,
	options []func(*awssqs.Options)) {
	r.batches(ctx, op, which, errs, func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))
		for n, i := range part {
			entries[n] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryID(n), ReceiptHandle: receipt(i), VisibilityTimeout: timeout(i)}
		}
		out, err := r.api.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &r.url, Entries: entries}, options...)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// unrepeated returns the options of a change of visibility that the SDK must try once
// if the queue is one on which a stale receipt acts: by the second try the message
// may have another holder. The runtime knows how long it has none.
func (r receipts) unrepeated() []func(*awssqs.Options) {
	if r.fifo {
		return batchOptions
	}
	return onceOptions
}

// giveBack makes messages visible again, even if ctx has ended. A message that
// cannot be released becomes visible when its lease ends.
func (r receipts) giveBack(ctx context.Context, op string, ms []types.Message) {
	r.change(context.WithoutCancel(ctx), op, indices(len(ms)), func(i int) *string { return ms[i].ReceiptHandle }, func(int) int32 { return 0 },
		make([]error, len(ms)), r.unrepeated())
}

// batches makes requests of up to ten entries. The error of an entry is its own, or
// that of its request.
func (r receipts) batches(ctx context.Context, op string, which []int, errs []error,
	request func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error)) {
	for len(which) > 0 {
		part := which[:min(len(which), maxBatch)]
		which = which[len(part):]
		if err := ctx.Err(); err != nil {
			for _, i := range part {
				errs[i] = err // no request is made after the caller's deadline
			}
			continue
		}
		rctx, cancel := within(ctx, answerTime)
		failed, err := request(rctx, part)
		cancel()
		if err != nil {
			err = r.fail(ctx, op, err)
			for _, i := range part {
				errs[i] = err
			}
			continue
		}
		for k := range failed {
			if n, ok := entryIndex(failed[k].Id, len(part)); ok {
				errs[part[n]] = r.refused(op, deref(failed[k].Code), deref(failed[k].Message), failed[k].SenderFault)
			}
		}
	}
}

// entryIDs are the IDs of a batch's entries: their indices. They do not identify
// messages, since a batch may contain a message twice.
var entryIDs = [maxBatch]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func entryID(n int) *string { return &entryIDs[n] }

func entryIndex(id *string, n int) (int, bool) {
	i, err := strconv.Atoi(deref(id))
	return i, err == nil && i >= 0 && i < n
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
