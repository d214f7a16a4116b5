package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/drivers"
)

const (
	maxPublish = 1000
	// publishers is the number of concurrent publish requests of one Send. Each
	// ordering key has its own requests.
	publishers = 16
)

// publish publishes messages to a topic and calls done for each with its ID, or with
// the error if it was not accepted. It ignores nil messages.
//
// It calls the Publish RPC rather than the high-level client's Publisher. The
// Publisher adds batching over time, retries, flow control and a pause of a key
// after an error. The runtime does the first three for all drivers, and here they
// would hide the outcome of a batch for which the caller waits anyway. The pause is
// replaced by a stricter rule: within a call, no message of a key is sent once an
// earlier one has failed, and the caller has the errors before it sends more of that
// key, so nothing has to be resumed. As with the Publisher, a request has messages of
// one ordering key only, and at most 1,000 of them, or 10 MB.
func publish(ctx context.Context, c *clients, to name, op string, ms []*pubsubpb.PubsubMessage, done func(i int, id string, err error)) {
	groups := make(map[string][]int)
	var keys []string // in the order of the messages
	for i, m := range ms {
		if m == nil {
			continue
		}
		if _, ok := groups[m.OrderingKey]; !ok {
			keys = append(keys, m.OrderingKey)
		}
		groups[m.OrderingKey] = append(groups[m.OrderingKey], i)
	}
	p := &publication{clients: c, to: to, op: op, ms: ms, done: done}
	if len(keys) == 1 && keys[0] != "" {
		p.inOrder(ctx, p.requests(groups[keys[0]]))
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, publishers)
	start := func(f func()) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f()
		})
	}
	for _, key := range keys {
		requests := p.requests(groups[key])
		if key != "" {
			start(func() { p.inOrder(ctx, requests) })
			continue
		}
		for _, r := range requests {
			start(func() { p.send(ctx, r, false) })
		}
	}
	wg.Wait()
}

// A publication is one call of publish.
type publication struct {
	clients *clients
	to      name
	op      string
	ms      []*pubsubpb.PubsubMessage
	done    func(i int, id string, err error)
}

// requests splits the messages with the given indexes into requests, in order.
func (p *publication) requests(idx []int) [][]int {
	var out [][]int
	size, begin := framing, 0
	for n, i := range idx {
		s := proto.Size(p.ms[i]) + 8 // tag and length of the message in the request
		if n > begin && (size+s > maxRequestBytes || n-begin == maxPublish) {
			out = append(out, idx[begin:n])
			size, begin = framing, n
		}
		size += s
	}
	return append(out, idx[begin:])
}

// inOrder sends requests of one key, and stops at the first failure: a later message
// must not overtake an earlier one.
func (p *publication) inOrder(ctx context.Context, requests [][]int) {
	for n, r := range requests {
		if !p.send(ctx, r, true) {
			for _, later := range requests[n+1:] {
				p.block(later)
			}
			return
		}
	}
}

// block reports the messages with the given indexes as held back.
func (p *publication) block(idx []int) {
	for _, i := range idx {
		p.done(i, "", blocked(p.to, p.op))
	}
}

// blocked returns the error of a message that was held back. It is transient: the
// message can be sent once the earlier one was sent or given up.
func blocked(to name, op string) error {
	return &drivers.Error{Code: drivers.Transient, Queue: to.String(), Op: op,
		Err: errors.New("held back: an earlier message of its group was not sent")}
}

// send sends one request, and reports whether all of its messages were accepted. A
// single invalid message, such as one that violates the topic's schema, spoils its
// whole request, so send halves an invalid request until the invalid messages are
// alone.
func (p *publication) send(ctx context.Context, idx []int, ordered bool) bool {
	req := &pubsubpb.PublishRequest{Topic: p.to.String(), Messages: make([]*pubsubpb.PubsubMessage, len(idx))}
	for n, i := range idx {
		req.Messages[n] = p.ms[i]
	}
	resp, err := p.clients.topics.Publish(ctx, req, once)
	if err == nil && len(resp.MessageIds) != len(idx) {
		err = fmt.Errorf("%d messages were published and %d IDs returned", len(idx), len(resp.MessageIds))
	}
	if err == nil {
		for n, i := range idx {
			p.done(i, resp.MessageIds[n], nil)
		}
		return true
	}
	if status.Code(err) == codes.InvalidArgument && len(idx) > 1 {
		half := len(idx) / 2
		left := p.send(ctx, slices.Clip(idx[:half]), ordered)
		if ordered && !left {
			p.block(idx[half:])
			return false
		}
		return p.send(ctx, idx[half:], ordered) && left
	}
	err = wrap(ctx, p.to, p.op, err)
	for _, i := range idx {
		p.done(i, "", err)
	}
	return false
}
