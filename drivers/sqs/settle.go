package sqs

import (
	"context"
	"errors"
	"strconv"
	"sync"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// Settle carries out settlements, those of each kind in one request and the
// kinds at the same time. See [drivers.Source].
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	const op = "settle"
	if len(ss) == 0 {
		return nil
	}
	if err := s.ready(ctx, op); err != nil {
		return all(len(ss), err)
	}
	errs := make([]error, len(ss))
	var kinds sorted
	for i := range ss {
		switch ss[i].Action {
		case handler.ActionAck, handler.ActionDrop:
			kinds.add(deletes, i, len(ss))
		case handler.ActionDeadLetter:
			kinds.add(letters, i, len(ss))
		case handler.ActionRetry:
			if ss[i].Delayed {
				kinds.add(changes, i, len(ss))
			}
			// Otherwise the visibility timeout runs down: there is nothing to ask.
		default:
			errs[i] = s.invalid(op, errors.New("unknown "+ss[i].Action.String()), "")
		}
	}
	if len(kinds[letters]) > 0 {
		s.reread(ctx, op) // letters go where the policy says now
	} else {
		defer s.reread(ctx, op)
	}
	if kind, one := kinds.one(); one {
		s.settleKind(ctx, op, kind, kinds[kind], ss, errs)
	} else {
		s.settleKinds(ctx, op, &kinds, ss, errs)
	}
	s.noteLost(errs)
	return some(errs)
}

// The kinds of settlements that make requests of their own.
const (
	deletes = iota
	changes
	letters
	numKinds
)

func (s *Source) settleKind(ctx context.Context, op string, kind int, which []int, ss []drivers.Settlement, errs []error) {
	receipt := func(i int) *string { return &ss[i].Receipt }
	switch kind {
	case deletes:
		s.delete(ctx, op, which, receipt, errs)
	case changes:
		s.change(ctx, op, which, receipt, func(i int) int32 { return seconds(ss[i].Delay) }, errs, s.unrepeated()...)
	case letters:
		s.reject(ctx, op, which, ss, errs)
	}
}

// sorted are the indices of the settlements of each kind.
type sorted [numKinds][]int

func (k *sorted) add(kind, i, most int) {
	if k[kind] == nil {
		k[kind] = make([]int, 0, most-i)
	}
	k[kind] = append(k[kind], i)
}

// one returns the kind that there is, if there is only one.
func (k *sorted) one() (kind int, one bool) {
	n := 0
	for i, which := range k {
		if len(which) > 0 {
			kind = i
			n++
		}
	}
	return kind, n == 1
}

// settleKinds does what there is of each kind, at the same time. It returns when
// all is done.
func (s *Source) settleKinds(ctx context.Context, op string, k *sorted, ss []drivers.Settlement, errs []error) {
	var work sync.WaitGroup
	for kind, which := range k {
		if len(which) > 0 {
			work.Go(func() { s.settleKind(ctx, op, kind, which, ss, errs) })
		}
	}
	work.Wait()
}

// Extend sets leases. See [drivers.Source].
func (s *Source) Extend(ctx context.Context, es []drivers.Extension) []error {
	const op = "extend"
	if len(es) == 0 {
		return nil
	}
	if err := s.ready(ctx, op); err != nil {
		return all(len(es), err)
	}
	errs := make([]error, len(es))
	which := make([]int, len(es))
	for i := range which {
		which[i] = i
	}
	s.change(ctx, op, which, func(i int) *string { return &es[i].Receipt }, func(i int) int32 { return seconds(es[i].By) }, errs)
	s.noteLost(errs)
	return some(errs)
}

// delete deletes the messages of the receipts of which, and sets the errors at
// their indices.
func (q *queue) delete(ctx context.Context, op string, which []int, receipt func(int) *string, errs []error) {
	q.batches(ctx, op, which, errs, func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(part))
		for n, i := range part {
			entries[n] = types.DeleteMessageBatchRequestEntry{Id: entryID(n), ReceiptHandle: receipt(i)}
		}
		out, err := q.api.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// unrepeated has the SDK try a change of visibility once where a stale receipt
// acts: the message may have another holder by the second try. The runtime knows
// for how long it has none.
func (q *queue) unrepeated() []func(*awssqs.Options) {
	if q.fifo {
		return nil
	}
	return []func(*awssqs.Options){once}
}

// change sets the visibility timeouts of the receipts of which.
func (q *queue) change(ctx context.Context, op string, which []int, receipt func(int) *string, timeout func(int) int32, errs []error,
	options ...func(*awssqs.Options)) {
	q.batches(ctx, op, which, errs, func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))
		for n, i := range part {
			entries[n] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryID(n), ReceiptHandle: receipt(i), VisibilityTimeout: timeout(i)}
		}
		out, err := q.api.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url, Entries: entries}, options...)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// batches makes requests of up to ten entries for which, and sets the error of
// each entry that failed, or that of its request.
func (q *queue) batches(ctx context.Context, op string, which []int, errs []error,
	request func(ctx context.Context, part []int) ([]types.BatchResultErrorEntry, error)) {
	for len(which) > 0 {
		part := which[:min(len(which), maxBatch)]
		which = which[len(part):]
		if err := ctx.Err(); err != nil {
			for _, i := range part {
				errs[i] = err // after the caller's deadline nothing goes out
			}
			continue
		}
		rctx, cancel := within(ctx, answerTime)
		failed, err := request(rctx, part)
		cancel()
		if err != nil {
			err = q.fail(ctx, op, err)
			for _, i := range part {
				errs[i] = err
			}
			continue
		}
		for k := range failed {
			if n, ok := entryIndex(failed[k].Id, len(part)); ok {
				errs[part[n]] = q.refused(op, deref(failed[k].Code), deref(failed[k].Message), failed[k].SenderFault)
			}
		}
	}
}

// entryIDs are the IDs of a batch's entries: their indices. They say nothing of
// the messages, since one message can be in a batch twice.
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

// all returns err n times.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// some returns errs, or nil where there is none in it.
func some(errs []error) []error {
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}
