package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// What the service says of an ack ID, where delivery is exactly once.
const (
	ackIDGone      = "PERMANENT_FAILURE_INVALID_ACK_ID"
	ackIDTransient = "TRANSIENT_FAILURE"
)

// Settle implements [drivers.Source]. A batch becomes one Acknowledge, one
// ModifyAckDeadline for each different delay, and for the rejected messages a
// Publish and after it an Acknowledge, all at the same time. A request with more
// ack IDs than the service takes is cut.
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	if s.ended.Load() {
		return all(len(ss), closed(s.sub, "settle"))
	}
	out := &outcome{n: len(ss)}
	var acks, dead []int
	var delays map[int32][]int
	for i := range ss {
		st := &ss[i]
		switch {
		case st.Receipt == "":
			out.set(i, invalid(s.sub, "settle", errNoReceipt))
		case st.Action == handler.ActionAck || st.Action == handler.ActionDrop:
			acks = append(acks, i)
		case st.Action == handler.ActionDeadLetter:
			dead = append(dead, i)
		default: // a retry, whatever the action is called
			delay := time.Duration(0) // a nack
			if st.Delayed {
				delay = st.Delay
			}
			if delay < 0 || delay > maxDeadline {
				out.set(i, invalid(s.sub, "retry", fmt.Errorf("a retry can be delayed by up to %v, not by %v", maxDeadline, delay)))
				continue
			}
			if delays == nil {
				delays = make(map[int32][]int, 1)
			}
			delays[seconds(delay)] = append(delays[seconds(delay)], i)
		}
	}
	receipt := func(i int) string { return ss[i].Receipt }
	var todo []func()
	if len(acks) > 0 {
		todo = append(todo, func() { s.acknowledge(ctx, acks, receipt, out.set) })
	}
	for secs, idx := range delays {
		todo = append(todo, func() { s.modify(ctx, "retry", secs, idx, receipt, out.set) })
	}
	if len(dead) > 0 {
		todo = append(todo, func() { s.reject(ctx, ss, dead, out) })
	}
	together(todo)
	return out.errs
}

// Extend implements [drivers.Source].
func (s *Source) Extend(ctx context.Context, es []drivers.Extension) []error {
	if s.ended.Load() {
		return all(len(es), closed(s.sub, "extend"))
	}
	out := &outcome{n: len(es)}
	leases := make(map[int32][]int, 1)
	for i, e := range es {
		switch {
		case e.Receipt == "":
			out.set(i, invalid(s.sub, "extend", errNoReceipt))
		case e.By <= 0 || e.By > maxDeadline: // zero would give the message back
			out.set(i, invalid(s.sub, "extend", fmt.Errorf("a lease is more than nothing and at most %v, not %v", maxDeadline, e.By)))
		default:
			leases[seconds(e.By)] = append(leases[seconds(e.By)], i)
		}
	}
	todo := make([]func(), 0, len(leases))
	for secs, idx := range leases {
		todo = append(todo, func() {
			s.modify(ctx, "extend", secs, idx, func(i int) string { return es[i].Receipt }, out.set)
		})
	}
	together(todo)
	return out.errs
}

var errNoReceipt = errors.New("the receipt is empty")

// seconds rounds up: neither a lease nor a delay may end before it was to.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

// together runs functions at the same time, and a single one without more ado.
func together(todo []func()) {
	if len(todo) == 1 {
		todo[0]()
		return
	}
	var wg sync.WaitGroup
	for _, f := range todo {
		wg.Go(f)
	}
	wg.Wait()
}

func (s *Source) acknowledge(ctx context.Context, idx []int, receipt func(int) string, tell func(int, error)) {
	s.byAckID(ctx, "ack", idx, receipt, tell, func(ids []string) error {
		return s.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: s.sub.String(), AckIds: ids}, once)
	})
}

func (s *Source) modify(ctx context.Context, op string, secs int32, idx []int, receipt func(int) string, tell func(int, error)) {
	s.byAckID(ctx, op, idx, receipt, tell, func(ids []string) error {
		return s.c.subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: s.sub.String(), AckIds: ids, AckDeadlineSeconds: secs,
		}, once)
	})
}

// byAckID makes as many calls as the ack IDs need, one after the other, and tells
// for each index what became of it.
func (s *Source) byAckID(ctx context.Context, op string, idx []int, receipt func(int) string,
	tell func(int, error), call func(ids []string) error,
) {
	ids := make([]string, len(idx))
	for n, i := range idx {
		ids[n] = receipt(i)
	}
	begin, size := 0, 0
	for n, id := range ids {
		if n > begin && (n-begin == maxAckIDs || size+len(id) > maxAckBytes) {
			s.settleOnce(ctx, op, idx[begin:n], ids[begin:n], tell, call)
			begin, size = n, 0
		}
		size += len(id) + 4 // tag and length
	}
	s.settleOnce(ctx, op, idx[begin:], ids[begin:], tell, call)
}

func (s *Source) settleOnce(ctx context.Context, op string, idx []int, ids []string, tell func(int, error), call func([]string) error) {
	err := call(ids)
	if err == nil {
		for _, i := range idx {
			tell(i, nil)
		}
		return
	}
	if failed := failedAckIDs(err); failed != nil && ctx.Err() == nil {
		s.settleRest(ctx, op, idx, ids, failed, err, tell, call)
		return
	}
	// One malformed ack ID spoils its whole request: halve it until it is alone.
	if status.Code(err) == codes.InvalidArgument && len(ids) > 1 {
		half := len(ids) / 2
		s.settleOnce(ctx, op, idx[:half], ids[:half], tell, call)
		s.settleOnce(ctx, op, idx[half:], ids[half:], tell, call)
		return
	}
	err = s.wrap(ctx, s.sub, op, err)
	for _, i := range idx {
		tell(i, err)
	}
}

// settleRest tells what the service said of single ack IDs and settles the others
// again. It may have settled them or not, and doing it twice does no harm.
func (s *Source) settleRest(ctx context.Context, op string, idx []int, ids []string, failed map[string]string, err error,
	tell func(int, error), call func([]string) error,
) {
	var restIdx []int
	var rest []string
	for n, i := range idx {
		if said, ok := failed[ids[n]]; ok {
			tell(i, s.ackError(op, said))
			continue
		}
		restIdx, rest = append(restIdx, i), append(rest, ids[n])
	}
	switch len(rest) {
	case 0:
	case len(ids): // it speaks of others
		for _, i := range idx {
			tell(i, s.wrap(ctx, s.sub, op, err))
		}
	default:
		s.settleOnce(ctx, op, restIdx, rest, tell, call)
	}
}

// failedAckIDs returns what the service says of single ack IDs, which it does
// where delivery is exactly once; nil where it says nothing of the kind.
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

// ackError reads what the service said of one ack ID.
func (s *Source) ackError(op, said string) error {
	code := drivers.Invalid
	switch {
	case said == ackIDGone:
		code = drivers.LeaseLost
	case strings.HasPrefix(said, ackIDTransient):
		code = drivers.Transient
	}
	return &drivers.Error{Code: code, Queue: s.sub.String(), Op: op, Err: errors.New(said)}
}
