package sqs

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Source receives from an SQS queue. It is a [drivers.Source], a
// [drivers.Inspector] and a [drivers.Purger].
type Source struct {
	*queue
	config     Config
	names      systemNames
	caps       drivers.Capabilities
	visibility visibility
	watch      watch
	lost       lostReceives
	letters    sentLetters
	release    func()
}

var (
	_ drivers.Source    = (*Source)(nil)
	_ drivers.Inspector = (*Source)(nil)
	_ drivers.Purger    = (*Source)(nil)
	_ drivers.Watcher   = (*Source)(nil)
)

// receiveOptions has the SDK try a receive once, and leaves the check of each
// message to the driver: to the SDK one that is damaged is a failure of the whole
// receive.
var receiveOptions = []func(*awssqs.Options){once, unchecked}

func unchecked(o *awssqs.Options) { o.DisableMessageChecksumValidation = true }

// NewSource opens the queue that has the URL for receiving with the caller's own
// client, whose HTTP client ought to be as [HTTPClient]: the SDK's default keeps
// ten idle connections. It asks for the attributes of the queue and of its
// dead-letter queue, and fails where they cannot be had. A nil config is the zero
// Config.
func NewSource(ctx context.Context, api API, queueURL string, c *Config) (*Source, error) {
	config := c.withDefaults()
	if err := config.validate(lastSegment(queueURL)); err != nil {
		return nil, err
	}
	q, err := describe(ctx, api, queueURL)
	if err != nil {
		return nil, err
	}
	s := &Source{queue: q, config: config, names: systemAttributes(q.fifo), release: func() {}}
	dlq, err := q.deadLetter(ctx, config, q.deadLetterARN, true)
	if err != nil {
		return nil, err
	}
	s.caps = q.capabilities()
	s.visibility.init(config.VisibilityTimeout, q.lease)
	s.caps.Lease = s.visibility.now()
	if q.lease == 0 && config.VisibilityTimeout <= 0 {
		config.Logger.WarnContext(ctx, "the queue's visibility timeout is 0: receives ask for another; set one with visibility_timeout, or on the queue with sluice apply",
			"queue", q.name, "visibility_timeout", s.caps.Lease)
	}
	if dlq != nil {
		s.caps.DeadLetter, s.caps.DeadLetterQueue, s.caps.NativeRedrive = true, dlq.name, true
	}
	if q.deadLetterARN != "" {
		s.caps.MaxAttempts = q.maxReceives
	}
	s.watch.begin(&policy{dlq: dlq, arn: q.deadLetterARN, attempts: s.caps.MaxAttempts})
	return s, nil
}

// Capabilities returns what the queue can do.
func (s *Source) Capabilities() drivers.Capabilities { return s.caps }

// Close frees the source's connections.
func (s *Source) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.release()
	}
	return nil
}

// ready returns why nothing can be asked of the source: it is closed, or ctx
// has ended.
func (q *queue) ready(ctx context.Context, op string) error {
	if q.closed.Load() {
		return q.closedError(op)
	}
	return ctx.Err()
}

// Receive waits for messages. See [drivers.Source].
func (s *Source) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	const op = "receive"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	lease := s.lease(ctx, op)
	in := &awssqs.ReceiveMessageInput{
		QueueUrl:              &s.url,
		MaxNumberOfMessages:   int32(min(most, maxBatch)),                      // at most 10
		WaitTimeSeconds:       int32(min(wait, drivers.MaxWait) / time.Second), // at most 20
		VisibilityTimeout:     seconds(lease),
		MessageAttributeNames: allAttributes,
	}
	s.names.ask(in)
	if s.fifo {
		s.lost.resume(in)
	}
	options := receiveOptions
	if in.WaitTimeSeconds == 0 {
		options = shortPollOptions
	}
	rctx, cancel := within(ctx, wait+answerTime)
	defer cancel()
	begin := time.Now()
	out, err := s.api.ReceiveMessage(rctx, in, options...)
	if err != nil {
		err = s.fail(ctx, op, err)
		if s.fifo && !isDefinite(err) {
			s.lost.add(in, begin)
		}
		return nil, err
	}
	if len(out.Messages) == 0 {
		s.reread(ctx, op) // a busy queue's settlements do it
		return nil, nil
	}
	if err := s.ungrouped(op, out.Messages); err != nil {
		return nil, err
	}
	deadline := deadline(begin, lease)
	whole, err := s.whole(op, out.Messages)
	if len(whole) == 0 {
		return nil, err
	}
	s.learn(ctx, op, whole)
	ds := s.deliveries(whole, deadline)
	for i := range ds {
		ds[i].Lease = lease
	}
	return ds, err
}

// within bounds a request to d, unless ctx does already.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

var allAttributes = []string{"All"}

func (s *Source) deliveries(from []types.Message, deadline time.Time) []drivers.Delivery {
	messages := make([]handler.Message, len(from))
	ds := make([]drivers.Delivery, len(from))
	bodies := newSlab(from)
	for i := range from {
		if received := s.decodeIn(bodies, &from[i], &messages[i]); len(received) > 0 {
			messages[i].SetNative(received)
		}
		ds[i] = drivers.Delivery{Message: &messages[i], Deadline: deadline}
		if r := from[i].ReceiptHandle; r != nil {
			ds[i].Receipt = *r
		}
	}
	return ds
}

// deadline returns when the lease of messages that came just now ends, given its
// length and when they were asked for. SQS's clock ran from some moment between the two. A
// long poll answers as soon as it has something, so that it was not long ago,
// and counting from the request would find the leases of messages that came late
// in a poll all but over. So it allows for an answer that took a while to come.
func deadline(asked time.Time, lease time.Duration) time.Time {
	from := time.Now().Add(-min(time.Second, lease/4))
	if asked.After(from) {
		from = asked
	}
	return from.Add(lease)
}

// lostReceives remembers the receives of a FIFO queue whose answer was lost. The
// next receive repeats one, by its attempt ID, and so gets the messages that SQS
// had granted it, which would otherwise block their groups until their leases
// end.
type lostReceives struct {
	mu    sync.Mutex
	known []lostReceive
}

type lostReceive struct {
	id   string
	most int32
	at   time.Time
}

const (
	// attemptTime is how long SQS knows an attempt ID.
	attemptTime = 5 * time.Minute
	maxLost     = 16
)

// resume has in repeat a lost receive, if there is one that asked for no more
// messages; otherwise it gives it an attempt ID of its own.
func (l *lostReceives) resume(in *awssqs.ReceiveMessageInput) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.known) - 1; i >= 0; i-- {
		r := l.known[i]
		if time.Since(r.at) >= attemptTime {
			l.known = l.known[i+1:] // and so have those before it
			break
		}
		if r.most <= in.MaxNumberOfMessages {
			l.known = append(l.known[:i], l.known[i+1:]...)
			in.ReceiveRequestAttemptId, in.MaxNumberOfMessages = &r.id, r.most
			return
		}
	}
	id := rand.Text()
	in.ReceiveRequestAttemptId = &id
}

func (l *lostReceives) add(in *awssqs.ReceiveMessageInput, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = append(l.known, lostReceive{id: *in.ReceiveRequestAttemptId, most: in.MaxNumberOfMessages, at: at})
	if len(l.known) > maxLost {
		l.known = l.known[1:]
	}
}

// isDefinite is true for an error by which SQS itself said that it did not do
// what it was asked.
func isDefinite(err error) bool {
	c := drivers.CodeOf(err)
	return c != drivers.Unclassified && c != drivers.Transient
}
