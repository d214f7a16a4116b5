package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithy "github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/drivers"
)

const system = "aws_sqs"

var errOwnLetters = errors.New("the queue cannot be its own dead-letter queue")

// A queue is a queue with its attributes as they were when it was opened. Sources
// and sinks embed it.
type queue struct {
	api    API
	url    string
	name   string
	server string
	closed atomic.Bool

	arn           string
	fifo          bool
	contentDedupe bool
	lease         time.Duration
	maxBytes      int
	deadLetterARN string
	maxReceives   int

	origins origins
}

// describe opens the queue by requesting its attributes, and so fails if it does not
// exist or access is denied.
func describe(ctx context.Context, api API, queueURL string) (*queue, error) {
	q := &queue{api: api, url: queueURL, name: lastSegment(queueURL)}
	if u, err := url.Parse(queueURL); err == nil {
		q.server = u.Hostname()
	}
	attributes, err := q.attributes(ctx, "open", types.QueueAttributeNameAll)
	if err != nil {
		return nil, err
	}
	if err := q.read(attributes); err != nil {
		return nil, q.invalid("open", err, "")
	}
	return q, nil
}

// ready returns an error if the queue was closed or ctx has ended.
func (q *queue) ready(ctx context.Context, op string) error {
	if q.closed.Load() {
		return q.closedError(op)
	}
	return ctx.Err()
}

// attributes requests the named attributes.
func (q *queue) attributes(ctx context.Context, op string, names ...types.QueueAttributeName) (map[string]string, error) {
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	out, err := q.api.GetQueueAttributes(rctx, &awssqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: names})
	if err != nil {
		return nil, q.fail(ctx, op, err)
	}
	return out.Attributes, nil
}

// read sets the fields of q from the attributes a.
func (q *queue) read(a map[string]string) error {
	number := func(name types.QueueAttributeName, otherwise int) (int, error) {
		s, ok := a[string(name)]
		if !ok {
			return otherwise, nil // other servers than AWS omit some
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, fmt.Errorf("queue attribute %s: %w", name, err)
		}
		return n, nil
	}
	seconds, err1 := number(types.QueueAttributeNameVisibilityTimeout, 30)
	size, err2 := number(types.QueueAttributeNameMaximumMessageSize, oldRequestBytes)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	q.lease = time.Duration(seconds) * time.Second
	q.maxBytes = size
	q.arn = a[string(types.QueueAttributeNameQueueArn)]
	q.fifo = a[string(types.QueueAttributeNameFifoQueue)] == "true" || strings.HasSuffix(q.name, ".fifo")
	q.contentDedupe = a[string(types.QueueAttributeNameContentBasedDeduplication)] == "true"
	if policy := a[string(types.QueueAttributeNameRedrivePolicy)]; policy != "" {
		p, err := parseRedrivePolicy(policy)
		if err != nil {
			return err
		}
		q.deadLetterARN, q.maxReceives = p.target, p.maxReceives
	}
	return nil
}

type redrivePolicy struct {
	target      string
	maxReceives int
}

// parseRedrivePolicy parses a RedrivePolicy. SQS returns its number as it was set: as
// a number or as a string.
func parseRedrivePolicy(s string) (redrivePolicy, error) {
	var raw struct {
		DeadLetterTargetARN string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(s), &raw); err != nil {
		return redrivePolicy{}, fmt.Errorf("redrive policy %q: %w", s, err)
	}
	n, err := strconv.Atoi(strings.Trim(string(raw.MaxReceiveCount), `"`))
	if err != nil && len(raw.MaxReceiveCount) > 0 {
		return redrivePolicy{}, fmt.Errorf("redrive policy %q: maxReceiveCount: %w", s, err)
	}
	return redrivePolicy{target: raw.DeadLetterTargetARN, maxReceives: n}, nil
}

// deadLetter opens the dead-letter queue: the one that c names, or else the target
// of the redrive policy, whose ARN is policy. It returns nil if there is none. A queue
// can't be its own: a rejected message would come back as a new one, for ever. If loud
// is true it logs a warning if the queue is missing, is q itself or can't be read.
func (q *queue) deadLetter(ctx context.Context, c Config, policy string, loud bool) (*queue, error) {
	name := c.DeadLetter
	if name == "" {
		name = policy
	}
	warn := func(string, ...any) {}
	if loud {
		warn = func(text string, args ...any) { c.Logger.WarnContext(ctx, text, args...) }
	}
	if name == "" {
		return nil, nil
	}
	where, err := q.sibling(name)
	if err != nil {
		return nil, q.invalid("open", err, "")
	}
	d, err := describe(ctx, q.api, where)
	switch {
	case err == nil:
	case c.DeadLetter != "":
		return nil, fmt.Errorf("the dead-letter queue of %q: %w", q.name, err)
	case errors.Is(err, drivers.ErrNotFound):
		warn("the queue's redrive policy names a dead-letter queue that does not exist: messages cannot be rejected",
			"queue", q.name, "dead_letter_queue", lastSegment(where))
		return nil, nil
	case errors.Is(err, drivers.ErrDenied):
		// Sending to it may be allowed, and nothing else is needed.
		warn("no permission to read the attributes of the dead-letter queue", "queue", q.name, "error", err)
		d = &queue{api: q.api, url: where, name: lastSegment(where), server: q.server, fifo: q.fifo, maxBytes: oldRequestBytes}
	default:
		return nil, err
	}
	if d.url == q.url || d.arn != "" && d.arn == q.arn {
		if c.DeadLetter != "" {
			return nil, q.invalid("open", errOwnLetters, "name another queue in dead_letter")
		}
		warn("the queue's redrive policy names the queue itself: messages cannot be rejected; set another dead-letter queue", "queue", q.name)
		return nil, nil
	}
	if d.fifo != q.fifo {
		err := fmt.Errorf("the dead-letter queue %q is not of the queue's own kind: a FIFO queue needs a FIFO queue, a standard queue a standard one", d.name)
		return nil, q.invalid("open", err, "")
	}
	return d, nil
}

// sibling returns the URL of a queue in the account and region of q, as a
// dead-letter queue must be, given its name, its URL or its ARN.
func (q *queue) sibling(name string) (string, error) {
	if strings.Contains(name, "://") {
		return name, nil
	}
	if arn.IsARN(name) {
		theirs, err := arn.Parse(name)
		if err != nil {
			return "", err
		}
		if ours, err := arn.Parse(q.arn); err == nil && (ours.Region != theirs.Region || ours.AccountID != theirs.AccountID) {
			return "", fmt.Errorf("the dead-letter queue %s is not in the queue's account and region (%s)", name, q.arn)
		}
		name = theirs.Resource
	}
	if name == "" || strings.ContainsAny(name, "/:") {
		return "", fmt.Errorf("%q is not a queue's name, URL or ARN", name)
	}
	return q.url[:strings.LastIndexByte(q.url, '/')+1] + name, nil
}

// capabilities returns those of a source or sink on the queue.
func (q *queue) capabilities() drivers.Capabilities {
	c := drivers.Capabilities{
		Queue: q.name, System: system, Server: q.server,
		MaxReceive: maxBatch, MaxSettle: maxBatch, MaxExtend: maxBatch, MaxSend: maxBatch,
		MaxMessageBytes: q.maxBytes, MaxBatchBytes: q.maxRequest(),
		MaxDelay: maxLease, MaxSendDelay: maxSendDelay, MaxExtension: maxLease, MaxLease: maxLease,
		Ordered: q.fifo, AttemptKnown: true, StaleReceiptFails: q.fifo, StaleReceiptHarmless: q.fifo,
	}
	if q.fifo {
		c.MaxSendDelay = 0
	}
	return c
}

// maxRequest returns the limit of a request's messages together, in bytes.
func (q *queue) maxRequest() int {
	if q.maxBytes > oldRequestBytes {
		return maxRequestBytes
	}
	return oldRequestBytes
}

// fail wraps an error of the SDK in a [drivers.Error]. op is the driver's operation.
func (q *queue) fail(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	code, way := classifyError(err)
	if op != "open" && isExpired(err) {
		code, way = drivers.Transient, remedyExpired
	}
	return drivers.Wrap(ctx, code, q.name, op, err, way)
}

// refused returns the error of one entry of a batch.
func (q *queue) refused(op, code, message string, senderFault bool) error {
	c, way := classify(code, message, !senderFault, 0)
	if expired(code) {
		c, way = drivers.Transient, remedyExpired
	}
	return &drivers.Error{Code: c, Queue: q.name, Op: op, Err: &smithy.GenericAPIError{Code: code, Message: message}, Remedy: way}
}

func (q *queue) invalid(op string, err error, way string) error {
	return &drivers.Error{Code: drivers.Invalid, Queue: q.name, Op: op, Err: err, Remedy: way}
}

// noDeadLetter returns the error of an operation that needs a dead-letter queue.
func (q *queue) noDeadLetter(op string) error {
	return &drivers.Error{Code: drivers.Unsupported, Queue: q.name, Op: op, Err: errors.New("the queue has no dead-letter queue"),
		Remedy: "apply a configuration with dead_letter, or name a queue with the parameter dead_letter"}
}

func (q *queue) closedError(op string) error {
	return &drivers.Error{Code: drivers.Closed, Queue: q.name, Op: op}
}

// lastSegment returns a queue's name from its URL.
func lastSegment(queueURL string) string {
	return queueURL[strings.LastIndexByte(queueURL, '/')+1:]
}

// seconds returns d in seconds, rounded up, and at most maxLease.
func seconds(d time.Duration) int32 {
	return int32((min(d, maxLease) + time.Second - 1) / time.Second) // at most 43,200
}
