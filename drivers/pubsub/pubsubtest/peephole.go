package pubsubtest

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
)

// Depth counts the messages of a subscription of the fake.
type Depth struct {
	// Visible messages can be pulled now, InFlight ones are leased.
	Visible, InFlight int64
	// Oldest is when the oldest of them was published; zero without messages.
	Oldest time.Time
}

// peepholeCall is the call through which the peephole gets hold of pstest's
// lock. It is one that changes nothing and that clients of queues never make.
const peepholeCall = "ListSchemas"

// A peephole reads unexported state of pstest: how many messages a subscription
// holds and which ack IDs are good. Pulling messages to count them would use up
// delivery attempts and send them to the dead-letter topic.
//
// pstest runs a reactor while it holds its lock, so a reactor may read what the
// lock guards. The fields have no names outside their package, hence
// reflection; it only reads, except in rename, and if a newer pstest has other
// fields the answer is "don't know", never a wrong number.
type peephole struct {
	of *pstest.GServer

	turn sync.Mutex // one look at a time
	now  atomic.Pointer[look]
}

// A look is one use of the peephole. Its request distinguishes the peephole's
// own calls from those of clients.
type look struct {
	req *pubsubpb.ListSchemasRequest
	see func(subs reflect.Value)
}

// React implements pstest.Reactor. Calls that are not the peephole's own pass.
func (p *peephole) React(req any) (handled bool, ret any, err error) {
	l := p.now.Load()
	if own, ok := req.(*pubsubpb.ListSchemasRequest); l == nil || !ok || own != l.req {
		return false, nil, nil
	}
	l.see(field(reflect.ValueOf(p.of).Elem(), "subs"))
	return true, &pubsubpb.ListSchemasResponse{}, nil
}

// with calls see under pstest's lock.
func (p *peephole) with(see func(subs reflect.Value)) {
	p.turn.Lock()
	defer p.turn.Unlock()
	l := &look{req: &pubsubpb.ListSchemasRequest{}, see: see}
	p.now.Store(l)
	defer p.now.Store(nil)
	_, _ = p.of.ListSchemas(context.Background(), l.req) // React answers, without an error
}

// depth counts a subscription's messages; it returns false if that does not
// exist.
func (p *peephole) depth(subscription string) (d Depth, ok bool) {
	p.with(func(subs reflect.Value) {
		msgs := messagesOf(subs, subscription)
		if msgs.Kind() != reflect.Map {
			return
		}
		ok = true
		for it := msgs.MapRange(); it.Next(); {
			m := it.Value().Elem()
			if leased(m) {
				d.InFlight++
			} else {
				d.Visible++
			}
			published := field(field(field(m, "proto"), "Message"), "PublishTime")
			sec, nsec := field(published, "Seconds"), field(published, "Nanos")
			if !sec.IsValid() || !nsec.IsValid() {
				continue
			}
			if at := time.Unix(sec.Int(), nsec.Int()); d.Oldest.IsZero() || at.Before(d.Oldest) {
				d.Oldest = at
			}
		}
	})
	return d, ok
}

// stale returns those of the ack IDs that no longer hold a lease.
func (p *peephole) stale(subscription string, ackIDs []string) (stale []string) {
	p.with(func(subs reflect.Value) {
		msgs := messagesOf(subs, subscription)
		if msgs.Kind() != reflect.Map {
			return
		}
		held := make(map[string]bool, msgs.Len())
		for it := msgs.MapRange(); it.Next(); {
			m := it.Value().Elem()
			if id := field(field(m, "proto"), "AckId"); id.IsValid() && leased(m) {
				held[id.String()] = true
			}
		}
		for _, id := range ackIDs {
			if !held[id] {
				stale = append(stale, id)
			}
		}
	})
	return stale
}

// rename gives each of the messages, which are leased, its own ID for an ack
// ID. Nothing else in the peephole writes.
func (p *peephole) rename(subscription string, ids []string) {
	p.with(func(subs reflect.Value) {
		msgs := messagesOf(subs, subscription)
		if msgs.Kind() != reflect.Map {
			return
		}
		for _, id := range ids {
			m := msgs.MapIndex(reflect.ValueOf(id))
			if !m.IsValid() {
				continue
			}
			if f := field(m, "proto"); f.Kind() == reflect.Pointer && f.Type() == reflect.TypeFor[*pubsubpb.ReceivedMessage]() {
				(*pubsubpb.ReceivedMessage)(f.UnsafePointer()).AckId = id
			}
		}
	})
}

// messagesOf finds the messages that a subscription holds, by message ID.
func messagesOf(subs reflect.Value, subscription string) reflect.Value {
	if subs.Kind() != reflect.Map {
		return reflect.Value{}
	}
	return field(subs.MapIndex(reflect.ValueOf(subscription)), "msgs")
}

// leased reports whether the message's ack deadline is set, which is how pstest
// marks a message that it has delivered.
func leased(m reflect.Value) bool {
	deadline := field(m, "ackDeadline")
	return deadline.IsValid() && !deadline.IsZero()
}

// field returns a field of a struct, or of the struct that a pointer points to,
// and the zero Value if it does not exist.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}
