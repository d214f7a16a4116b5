package sqs

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A settler settles and extends messages.
type settler struct {
	receipts
	letters    letters
	visibility *visibility
	watch      *watch
}

// settle implements [Source.Settle].
func (s *settler) settle(ctx context.Context, op string, ss []drivers.Settlement) []error {
	errs := make([]error, len(ss))
	var kinds sorted
	for i := range ss {
		switch ss[i].Action {
		case handler.ActionAck, handler.ActionDrop:
			kinds.add(deletes, i, len(ss))
		case handler.ActionDeadLetter:
			kinds.add(rejections, i, len(ss))
		case handler.ActionRetry:
			if ss[i].Delayed {
				kinds.add(changes, i, len(ss))
			}
			// Otherwise the visibility timeout runs down, without a request.
		default:
			errs[i] = s.invalid(op, errors.New("unknown "+ss[i].Action.String()), "")
		}
	}
	if len(kinds[rejections]) > 0 {
		s.watch.reread(ctx, op) // the letters follow the current policy
	} else {
		defer s.watch.reread(ctx, op)
	}
	if kind, one := kinds.one(); one {
		s.settleKind(ctx, op, kind, kinds[kind], ss, errs)
	} else {
		s.settleKinds(ctx, op, &kinds, ss, errs)
	}
	s.visibility.noteLost(errs)
	return some(errs)
}

// extend implements [Source.Extend].
func (s *settler) extend(ctx context.Context, op string, es []drivers.Extension) []error {
	errs := make([]error, len(es))
	s.change(ctx, op, indices(len(es)), func(i int) *string { return &es[i].Receipt }, func(i int) int32 { return seconds(es[i].By) }, errs, batchOptions)
	s.visibility.noteLost(errs)
	return some(errs)
}

// settleKind settles the settlements of one kind, which are those at the indices in
// which.
func (s *settler) settleKind(ctx context.Context, op string, kind int, which []int, ss []drivers.Settlement, errs []error) {
	receipt := func(i int) *string { return &ss[i].Receipt }
	switch kind {
	case deletes:
		s.delete(ctx, op, which, receipt, errs)
	case changes:
		s.change(ctx, op, which, receipt, func(i int) int32 { return seconds(ss[i].Delay) }, errs, s.unrepeated())
	case rejections:
		sent := s.letters.send(ctx, op, which, ss, errs)
		s.delete(ctx, op, sent, receipt, errs)
		s.letters.deleted(sent, ss, errs)
	}
}

// settleKinds settles all kinds at the same time, and returns when all are done.
func (s *settler) settleKinds(ctx context.Context, op string, k *sorted, ss []drivers.Settlement, errs []error) {
	var work sync.WaitGroup
	for kind, which := range k {
		if len(which) > 0 {
			work.Go(func() { s.settleKind(ctx, op, kind, which, ss, errs) })
		}
	}
	work.Wait()
}

// The kinds of settlements, each with separate requests.
const (
	deletes = iota
	changes
	rejections
	numKinds
)

// sorted holds, for each kind, the indices of its settlements.
type sorted [numKinds][]int

func (k *sorted) add(kind, i, most int) {
	if k[kind] == nil {
		k[kind] = make([]int, 0, most-i)
	}
	k[kind] = append(k[kind], i)
}

// one returns the kind of all settlements, if they are of one kind.
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

// all returns n copies of err.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// some returns errs, or nil if all errors in it are nil.
func some(errs []error) []error {
	for _, err := range errs {
		if err != nil {
			return errs
		}
	}
	return nil
}

// indices returns the numbers from 0 to n-1.
func indices(n int) []int {
	which := make([]int, n)
	for i := range which {
		which[i] = i
	}
	return which
}
