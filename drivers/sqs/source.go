package sqs

import (
	"context"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// A Source receives from an SQS queue. It is a [drivers.Source], a
// [drivers.Inspector], a [drivers.Purger], a [drivers.Watcher], a
// [deadletter.Redriver] and a [deadletter.Opener]. Its methods may be called
// concurrently.
type Source struct {
	*queue
	config     Config
	caps       drivers.Capabilities
	visibility visibility
	watch      watch
	receiver   receiver
	settler    settler
	inspector  inspector
	release    func()
}

var (
	_ drivers.Source      = (*Source)(nil)
	_ drivers.Inspector   = (*Source)(nil)
	_ drivers.Purger      = (*Source)(nil)
	_ drivers.Watcher     = (*Source)(nil)
	_ deadletter.Redriver = (*Source)(nil)
	_ deadletter.Opener   = (*Source)(nil)
	_ deadletter.Writer   = (*Source)(nil)
	_ drivers.Locator     = (*Source)(nil)
)

// NewSource opens the queue with the given URL for receiving, with the caller's
// own client, whose HTTP client should be like [HTTPClient]: the SDK's default
// keeps ten idle connections. NewSource requests the attributes of the queue and of
// its dead-letter queue, and fails if it cannot read them. A nil config is the zero
// Config.
func NewSource(ctx context.Context, api API, queueURL string, c *Config) (*Source, error) {
	config, err := c.complete(lastSegment(queueURL))
	if err != nil {
		return nil, err
	}
	q, err := describe(ctx, api, queueURL)
	if err != nil {
		return nil, err
	}
	dlq, err := q.deadLetter(ctx, config, q.deadLetterARN, true)
	if err != nil {
		return nil, err
	}
	s := &Source{queue: q, config: config, caps: q.capabilities(), release: func() {}}
	s.visibility.begin(q, config.VisibilityTimeout)
	s.caps.Lease = s.visibility.now()
	if q.lease == 0 && config.VisibilityTimeout <= 0 {
		config.Logger.WarnContext(ctx, "the queue's visibility timeout is 0: receives request another; set one with visibility_timeout, or on the queue by applying its configuration",
			"queue", q.name, "visibility_timeout", s.caps.Lease)
	}
	if dlq != nil {
		s.caps.DeadLetter, s.caps.DeadLetterQueue, s.caps.NativeRedrive = true, dlq.name, true
	}
	if q.deadLetterARN != "" {
		s.caps.MaxAttempts = q.maxReceives
	}
	s.watch.begin(q, config, &policy{dlq: dlq, arn: q.deadLetterARN, attempts: s.caps.MaxAttempts})
	s.receiver = receiver{queue: q, names: systemAttributes(q.fifo), visibility: &s.visibility, watch: &s.watch}
	s.settler = settler{receipts: receipts{q}, letters: letters{queue: q, watch: &s.watch}, visibility: &s.visibility, watch: &s.watch}
	s.inspector = inspector{queue: q, watch: &s.watch}
	return s, nil
}

// ARN returns the queue's ARN. It is empty if the server does not report one; SQS
// itself does.
func (s *Source) ARN() string { return s.arn }

// Capabilities returns what the queue can do.
func (s *Source) Capabilities() drivers.Capabilities { return s.caps }

// Close frees the source's connections.
func (s *Source) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.release()
		s.inspector.ages.close()
	}
	return nil
}

// Receive waits for messages. See [drivers.Source].
func (s *Source) Receive(ctx context.Context, most int, wait time.Duration) ([]drivers.Delivery, error) {
	const op = "receive"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	return s.receiver.receive(ctx, op, most, wait)
}

// Deliveries decodes messages of the queue that another party has received, such
// as Lambda's event source mapping, as [Source.Receive] decodes its own; they are
// settled by their receipt handles. The deadline is the time at which their leases
// end, zero if it is not known. The messages share strings, bytes and maps of
// attributes with from, which the caller must not change afterwards. For messages
// that SQS has dead-lettered from another queue, Deliveries reads that queue's
// policy, once, to compute their attempts.
func (s *Source) Deliveries(ctx context.Context, from []types.Message, deadline time.Time) []drivers.Delivery {
	d := decoder{s.queue}
	d.learn(ctx, "receive", from)
	return d.deliveries(from, deadline)
}

// Settle carries out settlements, one request for each kind, all kinds at the same
// time. See [drivers.Source].
func (s *Source) Settle(ctx context.Context, ss []drivers.Settlement) []error {
	const op = "settle"
	if len(ss) == 0 {
		return nil
	}
	if err := s.ready(ctx, op); err != nil {
		return all(len(ss), err)
	}
	return s.settler.settle(ctx, op, ss)
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
	return s.settler.extend(ctx, op, es)
}

// Current implements [drivers.Watcher].
func (s *Source) Current() drivers.Current { return s.watch.current() }

// Depth returns approximate counts: SQS's counts are eventually consistent. The ages are
// unknown, except that an empty queue has none: see [Source.Ages].
func (s *Source) Depth(ctx context.Context) (drivers.Depth, error) {
	const op = "depth"
	if err := s.ready(ctx, op); err != nil {
		return unknownDepth(), err
	}
	d, err := s.inspector.counts(ctx, op)
	if err == nil && d.Visible == 0 && d.InFlight == 0 && d.Delayed == 0 {
		d.OldestAge = 0
	}
	return d, err
}

// Ages implements [drivers.Ager]. The ages of the oldest message and letter come from
// CloudWatch, a minute or more late, if the source was opened by an [Opener] and
// cloudwatch:GetMetricStatistics is permitted; else they are unknown. On a dead-letter
// queue the age counts from when the letter came there.
func (s *Source) Ages(ctx context.Context, d *drivers.Depth) { s.inspector.fill(ctx, d) }

// Peek receives up to most messages and gives them back immediately: SQS has no
// other way to show a message. A peek counts as a delivery attempt, hides the
// messages for a moment, and on a FIFO queue does not show blocked groups.
func (s *Source) Peek(ctx context.Context, most int, dead bool) ([]*handler.Message, error) {
	const op = "peek"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	return s.inspector.peek(ctx, op, most, dead)
}

// Purge removes all messages, including those in flight. It takes SQS up to a
// minute; messages sent meanwhile may be removed too.
func (s *Source) Purge(ctx context.Context, dead bool) error {
	const op = "purge"
	if err := s.ready(ctx, op); err != nil {
		return err
	}
	return s.inspector.purge(ctx, op, dead)
}

// StartRedrive starts a message move task from the dead-letter queue back to
// this queue. It always names the destination: without it SQS fails on letters that
// were sent to the dead-letter queue rather than moved there by SQS, since they have
// no source. It returns an error if the dead-letter queue serves other queues too,
// since a move task has no filter.
//
// See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
func (s *Source) StartRedrive(ctx context.Context, rate int) (deadletter.Task, error) {
	const op = "start redrive"
	if err := s.ready(ctx, op); err != nil {
		return deadletter.Task{}, err
	}
	return redriver{&s.inspector}.start(ctx, op, rate)
}

// Redrives lists the latest message move tasks from the dead-letter queue to
// this queue: SQS remembers ten.
func (s *Source) Redrives(ctx context.Context) ([]deadletter.Task, error) {
	const op = "list redrives"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	return redriver{&s.inspector}.list(ctx, op)
}

// CancelRedrive cancels a message move task.
func (s *Source) CancelRedrive(ctx context.Context, id string) error {
	const op = "cancel redrive"
	if err := s.ready(ctx, op); err != nil {
		return err
	}
	return redriver{&s.inspector}.cancel(ctx, op, id)
}

// OpenDeadLetters opens the dead-letter queue for receiving.
func (s *Source) OpenDeadLetters(ctx context.Context) (drivers.Source, error) {
	const op = "open dead letters"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	q, err := s.inspector.which(ctx, op, true)
	if err != nil {
		return nil, err
	}
	dead, err := NewSource(ctx, s.api, q.url, &Config{Logger: s.config.Logger})
	if err != nil {
		return nil, err
	}
	dead.inspector.ages = s.inspector.ages
	return dead, nil
}

// OpenRedrive opens the queue for sending letters back. On a FIFO queue each letter
// goes with a deduplication ID of its own, which is the same if a redrive is tried
// again: with its old ID, SQS would drop a letter within five minutes of its first
// sending. The letter's own dedupe ID goes with it as an attribute.
func (s *Source) OpenRedrive(ctx context.Context) (drivers.Sink, error) {
	if err := s.ready(ctx, "open redrive"); err != nil {
		return nil, err
	}
	sink, err := NewSink(ctx, s.api, s.url)
	if err != nil {
		return nil, err
	}
	sink.dedupe = redriveDedupe
	return sink, nil
}

// OpenDeadLetterSink opens the dead-letter queue for sending letters to it. On a FIFO queue
// a letter's deduplication ID is made of the message ID that it comes with, so that one
// that is sent again within five minutes is not doubled.
func (s *Source) OpenDeadLetterSink(ctx context.Context) (drivers.Sink, error) {
	const op = "open dead letters"
	if err := s.ready(ctx, op); err != nil {
		return nil, err
	}
	q, err := s.inspector.which(ctx, op, true)
	if err != nil {
		return nil, err
	}
	sink, err := NewSink(ctx, s.api, q.url)
	if err != nil {
		return nil, err
	}
	sink.dedupe = redriveDedupe
	return sink, nil
}

// Location implements [drivers.Locator]. Account and region are those of the queue's ARN,
// the endpoint is that of its URL.
func (s *Source) Location() drivers.Location {
	var l drivers.Location
	if a, err := arn.Parse(s.arn); err == nil {
		l.Account, l.Region = a.AccountID, a.Region
	}
	if u, err := url.Parse(s.url); err == nil && u.Host != "" {
		l.Endpoint = u.Scheme + "://" + u.Host
	}
	return l
}
