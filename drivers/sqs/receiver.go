package sqs

import (
	"context"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers"
)

// A receiver receives messages from a queue.
type receiver struct {
	*queue
	names      systemNames
	lost       lostReceives
	visibility *visibility
	watch      *watch
}

// receive implements [Source.Receive].
func (r *receiver) receive(ctx context.Context, op string, most int, wait time.Duration) ([]drivers.Delivery, error) {
	lease := r.visibility.lease(ctx, op)
	in := &awssqs.ReceiveMessageInput{
		QueueUrl:              &r.url,
		MaxNumberOfMessages:   int32(min(most, maxBatch)),                      // at most 10
		WaitTimeSeconds:       int32(min(wait, drivers.MaxWait) / time.Second), // at most 20
		VisibilityTimeout:     seconds(lease),
		MessageAttributeNames: allAttributes,
	}
	r.names.ask(in)
	if r.fifo {
		r.lost.resume(in)
	}
	options := receiveOptions
	if in.WaitTimeSeconds == 0 {
		options = shortPollOptions
	}
	rctx, cancel := within(ctx, wait+answerTime)
	defer cancel()
	begin := time.Now()
	out, err := r.api.ReceiveMessage(rctx, in, options...)
	if err != nil {
		err = r.fail(ctx, op, err)
		if r.fifo && !isDefinite(err) {
			r.lost.add(in, begin)
		}
		return nil, err
	}
	if len(out.Messages) == 0 {
		r.watch.reread(ctx, op) // on a busy queue the settler does this
		return nil, nil
	}
	if err := ungrouped(r.queue, op, out.Messages); err != nil {
		return nil, err
	}
	deadline := deadline(begin, lease)
	whole, err := whole(r.queue, op, out.Messages)
	if len(whole) == 0 {
		return nil, err
	}
	d := decoder{r.queue}
	d.learn(ctx, op, whole)
	ds := d.deliveries(whole, deadline)
	for i := range ds {
		ds[i].Lease = lease
	}
	return ds, err
}

// within bounds a request to d, unless ctx ends sooner.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// asked makes a request that does not wait, and bounds it to answerTime. ctx stays the
// caller's, so that its error is not taken for that of the endpoint.
func asked[In, Out, Option any](ctx context.Context, request func(context.Context, *In, ...func(*Option)) (*Out, error), in *In) (*Out, error) {
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	return request(rctx, in)
}

var allAttributes = []string{"All"}

// deadline returns the end of the lease of messages that have just arrived, given
// the time of the request and the length of the lease. SQS started the lease at
// some moment between request and arrival. Counting from the request would make the
// leases of messages that arrive late in a long poll seem almost over. Since a poll
// is answered as soon as there is a message, deadline counts from shortly before
// the arrival, and allows for a slow answer.
func deadline(asked time.Time, lease time.Duration) time.Time {
	from := time.Now().Add(-min(time.Second, lease/4))
	if asked.After(from) {
		from = asked
	}
	return from.Add(lease)
}

// isDefinite reports whether err is SQS's own statement that it did not carry out
// the request.
func isDefinite(err error) bool {
	c := drivers.CodeOf(err)
	return c != drivers.Unclassified && c != drivers.Transient
}
