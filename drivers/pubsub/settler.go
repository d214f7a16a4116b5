package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A settler settles and extends messages of a subscription.
type settler struct {
	*subscription
	letters letters
}

// settle implements [Source.Settle].
func (s *settler) settle(ctx context.Context, ss []drivers.Settlement) []error {
	out := &outcome{n: len(ss)}
	var acks, dead []int
	var delays map[int32][]int
	for i := range ss {
		st := &ss[i]
		switch {
		case st.Receipt == "":
			out.set(i, invalid(s.sub, "settle", errNoReceipt))
		case st.Action == handler.ActionAck || st.Action == handler.ActionDrop:
			if acks == nil {
				acks = make([]int, 0, len(ss)-i)
			}
			acks = append(acks, i)
		case st.Action == handler.ActionDeadLetter:
			dead = append(dead, i)
		default: // any other action is a retry
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

// extend implements [Source.Extend].
func (s *settler) extend(ctx context.Context, es []drivers.Extension) []error {
	out := &outcome{n: len(es)}
	leases := make(map[int32][]int, 1)
	for i, e := range es {
		switch {
		case e.Receipt == "":
			out.set(i, invalid(s.sub, "extend", errNoReceipt))
		case e.By <= 0 || e.By > maxDeadline: // zero would give the message back
			out.set(i, invalid(s.sub, "extend", fmt.Errorf("a lease must be positive and at most %v, not %v", maxDeadline, e.By)))
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

// acknowledge acknowledges the messages with the given indexes, and calls done for
// each.
func (s *settler) acknowledge(ctx context.Context, idx []int, receipt func(int) string, done func(int, error)) {
	r := &ackRequest{subscription: s.subscription, op: "ack", done: done, call: func(ids []string) error {
		return s.c.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: s.sub.String(), AckIds: ids}, once)
	}}
	r.do(ctx, idx, receipt)
}

// modify sets the ack deadlines of the messages with the given indexes, and calls
// done for each.
func (s *settler) modify(ctx context.Context, op string, secs int32, idx []int, receipt func(int) string, done func(int, error)) {
	r := &ackRequest{subscription: s.subscription, op: op, done: done, call: func(ids []string) error {
		return s.c.subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: s.sub.String(), AckIds: ids, AckDeadlineSeconds: secs,
		}, once)
	}}
	r.do(ctx, idx, receipt)
}

// reject publishes the messages with the given indexes to the dead-letter topic
// and acknowledges those that the topic accepted.
func (s *settler) reject(ctx context.Context, ss []drivers.Settlement, dead []int, out *outcome) {
	topic := s.watch.current().dead
	pms := make([]*pubsubpb.PubsubMessage, len(dead))
	accepted := make([]bool, len(dead))
	for n, i := range dead {
		switch {
		case topic.zero():
			out.set(i, noDeadLetter(s.sub.String(), "dead-letter"))
		case s.letters.has(ss[i].Receipt):
			accepted[n] = true
		case ss[i].Message == nil:
			out.set(i, invalid(s.sub, "dead-letter", errors.New("the settlement has no message to send")))
		default:
			pm, err := makeLetter(s.sub, ss[i].Message, ss[i].Failure)
			if err != nil {
				out.set(i, invalid(s.sub, "dead-letter", err))
				continue
			}
			pms[n] = pm
		}
	}
	publish(ctx, s.c, topic, "dead-letter", pms, func(n int, _ string, err error) {
		if err != nil {
			if drivers.CodeOf(err) == drivers.NotFound {
				s.watch.Doubt()
			}
			out.set(dead[n], err)
			return
		}
		accepted[n] = true
		s.letters.add(ss[dead[n]].Receipt)
	})
	acks := dead[:0]
	for n, i := range dead {
		if accepted[n] {
			acks = append(acks, i)
		}
	}
	if len(acks) == 0 {
		return
	}
	s.acknowledge(ctx, acks, func(i int) string { return ss[i].Receipt }, func(i int, err error) {
		if err == nil || drivers.CodeOf(err) == drivers.LeaseLost {
			s.letters.forget(ss[i].Receipt)
		}
		out.set(i, err)
	})
}

var errNoReceipt = errors.New("the receipt is empty")

// seconds returns d in seconds, rounded up: neither a lease nor a delay may end
// early.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

// together runs functions at the same time; it calls a single one itself.
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

func ackIDs(rms []*pubsubpb.ReceivedMessage) []string {
	ids := make([]string, len(rms))
	for i, rm := range rms {
		ids[i] = rm.GetAckId()
	}
	return ids
}
