package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/internal/lookonly"
)

// examine implements [Opener.Examine].
func examine(ctx context.Context, o *Opener, u *url.URL) (*provision.State, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	t.patient = true
	client, queueURL, release, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	defer release()
	q, err := describe(ctx, client, queueURL)
	if err != nil {
		return nil, err
	}
	e := &examination{queue: q, state: &provision.State{Queue: t.name}}
	if e.attributes, err = q.attributes(ctx, "examine", "All"); err != nil {
		return nil, err
	}
	if e.watch, err = cloudWatch(ctx, o, t); err != nil {
		return nil, err
	}
	e.own()
	return e.state, errors.Join(e.age(ctx), e.deadLetter(ctx))
}

// An examination gathers the facts about one queue.
type examination struct {
	*queue
	attributes map[string]string
	watch      *cloudwatch.Client
	state      *provision.State
}

// own reads the queue's own attributes.
func (e *examination) own() {
	s := e.state
	s.Lease, s.Ordered, s.AttemptsLimit = e.lease, e.fifo, maxReceives
	s.Retention, s.MaxRetention = number(e.attributes[attrRetention]), maxRetention
	if e.attributes[attrWait] == "0" {
		s.Fault(provision.ShortPolling, "ReceiveMessageWaitTimeSeconds is 0")
	}
	if sse, ok := e.attributes[attrSSE]; ok && sse != "true" && e.attributes[attrKMS] == "" {
		s.Fault(provision.Unencrypted, "neither SQS-managed nor KMS encryption is on")
	}
}

// age reads the age of the oldest message from CloudWatch. It stays unknown if
// that can't be asked: an advisory question must not keep the others from being
// asked.
func (e *examination) age(ctx context.Context) error {
	return e.ageOf(ctx, e.name, &e.state.OldestAge)
}

// ageOf is age of a queue, which it writes to age.
func (e *examination) ageOf(ctx context.Context, queue string, age *time.Duration) error {
	rctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	oldest, _, err := oldestAge(rctx, e.watch, queue)
	if err != nil {
		return e.unanswered(ctx, err)
	}
	*age = oldest
	return nil
}

// unanswered returns the error of a request to CloudWatch if it must be reported: not
// if CloudWatch can't be asked (no permission, a server with SQS alone), but if it was
// asked too often, since the next examination may learn more.
func (e *examination) unanswered(ctx context.Context, err error) error {
	if err = alarmFailure(ctx, e.name, "examine", err); drivers.CodeOf(err) == drivers.Throttled {
		return err
	}
	return ctx.Err()
}

// deadLetter looks at the redrive policy and the queue that it names.
func (e *examination) deadLetter(ctx context.Context) error {
	if e.deadLetterARN == "" {
		return nil
	}
	d := &provision.DeadLetterState{Name: lastColon(e.deadLetterARN), MaxAttempts: e.maxReceives, KeepsAge: !e.fifo}
	e.state.DeadLetter = d
	where, err := e.sibling(e.deadLetterARN)
	if err != nil {
		e.state.Fault(provision.DeadLetterMissing, err.Error())
		return nil
	}
	dlq, err := describe(ctx, e.api, where)
	if errors.Is(err, drivers.ErrNotFound) {
		e.state.Fault(provision.DeadLetterMissing, fmt.Sprintf("the redrive policy names %s, which does not exist", d.Name))
		return nil
	}
	if err != nil {
		return err
	}
	attributes, err := dlq.attributes(ctx, "examine", "All")
	if err != nil {
		return err
	}
	d.Retention = number(attributes[attrRetention])
	e.policies(dlq, attributes)
	if err := e.letters(ctx, dlq, attributes); err != nil {
		return err
	}
	ok, err := watched(ctx, e.watch, dlq.name)
	if err != nil {
		return e.unanswered(ctx, err)
	}
	d.Unwatched = !ok
	return nil
}

// policies looks at the dead-letter queue's kind and allow policy.
func (e *examination) policies(dlq *queue, attributes map[string]string) {
	if dlq.fifo != e.fifo {
		e.state.Fault(provision.DeadLetterMismatch, fmt.Sprintf("the queue is %s, and its dead-letter queue %s is %s", kind(e.fifo), dlq.name, kind(dlq.fifo)))
	}
	var a allowance
	text := attributes[attrAllow]
	if text == "" && !complete(attributes) {
		return // the server may not know of such policies
	}
	if text == "" || json.Unmarshal([]byte(text), &a) != nil || a.Permission == "allowAll" {
		e.state.Fault(provision.NoAllowPolicy, fmt.Sprintf("the dead-letter queue %s has no redrive allow policy", dlq.name))
	} else if a.Permission == "denyAll" || !strings.Contains(text, `"`+e.arn+`"`) {
		e.state.Fault(provision.NoAllowPolicy, fmt.Sprintf("the redrive allow policy of %s does not name this queue", dlq.name))
	}
}

// complete reports whether a server answers all of a queue's attributes, as AWS
// does: a queue there has one kind of encryption, on or off.
func complete(attributes map[string]string) bool {
	_, sse := attributes[attrSSE]
	_, kms := attributes[attrKMS]
	return sse || kms
}

func kind(fifo bool) string {
	if fifo {
		return "FIFO"
	}
	return "standard"
}

// letters counts the dead letters and looks at some.
func (e *examination) letters(ctx context.Context, dlq *queue, attributes map[string]string) error {
	d := e.state.DeadLetter
	for _, name := range depthNames {
		d.Letters += max(count(attributes, name), 0)
	}
	if d.Letters == 0 || attributes[attrRedrive] != "" {
		return nil // a look at a queue with a dead-letter queue of its own could move letters there
	}
	if lookonly.Asked(ctx) {
		return e.ageOf(ctx, dlq.name, &d.OldestAge)
	}
	sample, err := peek(ctx, "peek", dlq, provision.SampledLetters)
	if err != nil {
		return err
	}
	for _, m := range sample {
		if !m.EnqueuedAt.IsZero() {
			d.Ages = append(d.Ages, time.Since(m.EnqueuedAt))
		}
	}
	return nil
}
