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
)

var _ drivers.Diagnoser = (*Opener)(nil)

// The findings' IDs; drivers of other providers use the same for the same fault.
const (
	findLettersExpire   = "letters-expire"
	findDLQRetention    = "dlq-retention"
	findKind            = "dlq-kind"
	findDLQMissing      = "dlq-missing"
	findVisibility      = "visibility-short"
	findNoDLQ           = "no-dead-letter"
	findAttemptsOne     = "attempts-one"
	findAttemptsMany    = "attempts-many"
	findHeadroom        = "attempts-headroom"
	findOldest          = "oldest-message"
	findLetters         = "letters-present"
	findShortPolling    = "short-polling"
	findNoAllow         = "no-allow-policy"
	findNoAlarm         = "no-alarm"
	findDrift           = "drift"
	findEncryption      = "encryption-off"
	manyAttempts        = 100
	roomForReceives     = 3 // what a queue should allow above the handlers' own limit
	sampledLetters      = 10
	lettersNearExpiry   = 4 // a letter is near its end in the last quarter of its time
	oldestPartRetention = 2
)

// Diagnose returns what is wrong with the queue. It looks at up to ten dead
// letters, which counts as a delivery of each, and at no message of the queue
// itself. See [drivers.Diagnoser].
func (o *Opener) Diagnose(ctx context.Context, u *url.URL, spec *drivers.QueueSpec) ([]drivers.Finding, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	client, queueURL, release, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	defer release()
	q, err := describe(ctx, client, queueURL)
	if err != nil {
		return nil, err
	}
	d := &diagnosis{queue: q, shown: t.name}
	if spec != nil && spec.Name != "" {
		d.shown = spec.Name
	}
	if d.attributes, err = q.attributes(ctx, "diagnose", "All"); err != nil {
		return nil, err
	}
	if d.watch, err = o.cloudWatch(ctx, t); err != nil {
		return nil, err
	}
	if err := d.run(ctx, spec); err != nil {
		return d.found, err
	}
	if spec == nil {
		return d.found, nil
	}
	changes, err := o.Plan(ctx, u, *spec)
	if err != nil {
		return d.found, err
	}
	if n := len(changes); n > 0 {
		d.add(findDrift, drivers.Minor, fmt.Sprintf("%d differences between the queue and its configuration, such as %s %s",
			n, changes[0].Resource, changes[0].Field), "what was changed by hand is lost at the next apply, and what was configured is not in force",
			"sluice plan")
	}
	return d.found, nil
}

// A diagnosis gathers findings on one queue.
type diagnosis struct {
	*queue
	shown      string
	attributes map[string]string
	watch      *cloudwatch.Client
	found      []drivers.Finding
}

func (d *diagnosis) add(id string, s drivers.Severity, fact, why, command string) {
	d.found = append(d.found, drivers.Finding{ID: id, Severity: s, Queue: d.shown, Fact: fact, Why: why, Command: command})
}

func (d *diagnosis) apply() string { return "sluice apply" }

func (d *diagnosis) run(ctx context.Context, spec *drivers.QueueSpec) error {
	d.own(spec)
	d.headroom(spec)
	if err := d.age(ctx); err != nil {
		return err
	}
	return d.deadLetters(ctx)
}

// own looks at the queue's own attributes.
func (d *diagnosis) own(spec *drivers.QueueSpec) {
	if d.attributes[attrWait] == "0" {
		d.add(findShortPolling, drivers.Minor, "ReceiveMessageWaitTimeSeconds is 0",
			"consumers that do not ask for a wait themselves poll short: they pay for empty answers, which do not mean that the queue is empty", d.apply())
	}
	if sse, ok := d.attributes[attrSSE]; ok && sse != "true" && d.attributes[attrKMS] == "" {
		d.add(findEncryption, drivers.Minor, "neither SQS-managed nor KMS encryption is on", "messages are stored in the clear", d.apply())
	}
	if spec != nil && spec.HandlerP99 > 0 && !spec.Heartbeat && spec.HandlerP99 >= d.lease {
		d.add(findVisibility, drivers.Critical, fmt.Sprintf("the visibility timeout is %v, and one handler in a hundred takes %v or longer, without a heartbeat", d.lease, spec.HandlerP99),
			"messages are delivered again while they are still handled: their effects are doubled",
			"sluice run "+d.shown+" --heartbeat … (or raise visibility_timeout and: sluice apply)")
	}
}

// age looks at how long the oldest message has waited, as CloudWatch knows it.
// Where that cannot be asked (no permission, a server with SQS alone) nothing is
// found.
func (d *diagnosis) age(ctx context.Context) error {
	retention := number(d.attributes[attrRetention])
	// An advisory question must not keep the others from being asked.
	age, known, err := oldestAge(ctx, d.watch, d.name)
	if err != nil {
		return ctx.Err()
	}
	if known && retention > 0 && age > retention/oldestPartRetention {
		d.add(findOldest, drivers.Major, fmt.Sprintf("the oldest message is %v old, and messages are kept for %v", age.Round(time.Second), retention),
			"it expires, and is lost, if it waits on", "sluice run "+d.shown+" --concurrency N … (or raise retention and: sluice apply)")
	}
	return nil
}

// headroom looks at what the native limit leaves above the handlers' own.
func (d *diagnosis) headroom(spec *drivers.QueueSpec) {
	if spec == nil || spec.HandlerAttempts <= 0 || d.deadLetterARN == "" || d.maxReceives > spec.HandlerAttempts {
		return
	}
	d.add(findHeadroom, drivers.Major, fmt.Sprintf("maxReceiveCount is %d, and the handlers reject after %d attempts", d.maxReceives, spec.HandlerAttempts),
		"SQS counts every receive, also of a consumer that crashed or stopped, or of somebody who looked: a message is dead-lettered before its handlers have given up, and without a reason",
		fmt.Sprintf("%s (with dead_letter.max_attempts: %d)", d.apply(), spec.HandlerAttempts+roomForReceives))
}

// deadLetters looks at the dead-letter queue.
func (d *diagnosis) deadLetters(ctx context.Context) error {
	if d.deadLetterARN == "" {
		d.add(findNoDLQ, drivers.Major, "the queue has no redrive policy",
			"a poison message is retried until it expires, and then lost without a word", "sluice apply (with dead_letter in the configuration)")
		return nil
	}
	switch {
	case d.maxReceives == 1:
		d.add(findAttemptsOne, drivers.Major, "maxReceiveCount is 1",
			"a consumer that stops, or loses its lease once, makes dead letters of good messages", d.apply()+" (with dead_letter.max_attempts: 5)")
	case d.maxReceives > manyAttempts:
		d.add(findAttemptsMany, drivers.Major, fmt.Sprintf("maxReceiveCount is %d", d.maxReceives),
			"a poison message is retried all but for ever", d.apply()+" (with dead_letter.max_attempts: 5)")
	}
	where, err := d.sibling(d.deadLetterARN)
	if err != nil {
		d.add(findDLQMissing, drivers.Critical, err.Error(), "SQS cannot move messages there: they are retried until they expire", d.apply())
		return nil
	}
	dlq, err := describe(ctx, d.api, where)
	if errors.Is(err, drivers.ErrNotFound) {
		d.add(findDLQMissing, drivers.Critical, fmt.Sprintf("the redrive policy names %s, which does not exist", lastColon(d.deadLetterARN)),
			"SQS cannot move messages there: poison messages are retried until they expire, and then lost", d.apply())
		return nil
	}
	if err != nil {
		return err
	}
	attributes, err := dlq.attributes(ctx, "diagnose", "All")
	if err != nil {
		return err
	}
	d.policies(dlq, attributes)
	if err := d.letters(ctx, dlq, attributes); err != nil {
		return err
	}
	return d.alarm(ctx, dlq)
}

// policies looks at how the dead-letter queue is set up.
func (d *diagnosis) policies(dlq *queue, attributes map[string]string) {
	if dlq.fifo != d.fifo {
		d.add(findKind, drivers.Critical, fmt.Sprintf("the queue is %s, and its dead-letter queue %s is %s", kind(d.fifo), dlq.name, kind(dlq.fifo)),
			"SQS moves no message between the two kinds", d.apply())
	}
	own, kept := number(d.attributes[attrRetention]), number(attributes[attrRetention])
	if !d.fifo && kept <= own && own > 0 && kept > 0 { // the server tells both
		d.add(findDLQRetention, drivers.Critical, fmt.Sprintf("the dead-letter queue keeps messages for %v, the queue for %v", kept, own),
			"letters keep the age of their messages: one that failed late expires as soon as it is dead-lettered", d.apply()+" (with dead_letter.retention: 14d)")
	}
	var a allowance
	text := attributes[attrAllow]
	if text == "" && !complete(attributes) {
		return // the server may not know of such policies
	}
	if text == "" || json.Unmarshal([]byte(text), &a) != nil || a.Permission == "allowAll" {
		d.add(findNoAllow, drivers.Minor, fmt.Sprintf("the dead-letter queue %s has no redrive allow policy", dlq.name),
			"any queue of the account can make it its dead-letter queue, and fill it", d.apply())
	} else if a.Permission == "denyAll" || !strings.Contains(text, `"`+d.arn+`"`) {
		d.add(findNoAllow, drivers.Minor, fmt.Sprintf("the redrive allow policy of %s does not name this queue", dlq.name),
			"SQS refuses the redrive policy when it is next set", d.apply())
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

// letters looks at what is in the dead-letter queue.
func (d *diagnosis) letters(ctx context.Context, dlq *queue, attributes map[string]string) error {
	total := int64(0)
	for _, name := range depthNames {
		total += max(count(attributes, name), 0)
	}
	if total == 0 {
		return nil
	}
	d.add(findLetters, drivers.Major, fmt.Sprintf("%d dead letters in %s", total, dlq.name),
		"each is a job that was not done", "sluice peek "+d.shown+" --dead, then: sluice redrive "+d.shown)

	if attributes[attrRedrive] != "" {
		return nil // it has a dead-letter queue itself: to look could move letters there
	}
	dead := &Source{queue: dlq, release: func() {}}
	sample, err := dead.Peek(ctx, sampledLetters, false)
	if err != nil {
		return err
	}
	kept := number(attributes[attrRetention])
	for _, m := range sample {
		left := kept - time.Since(m.EnqueuedAt)
		if kept == 0 || m.EnqueuedAt.IsZero() || left > kept/lettersNearExpiry {
			continue
		}
		d.add(findLettersExpire, drivers.Critical, fmt.Sprintf("of %d letters looked at, one expires in %v", len(sample), left.Round(time.Second)),
			"when it expires its job is lost for good", "sluice redrive "+d.shown)
		break
	}
	return nil
}

// alarm looks whether anyone is told of dead letters. Where CloudWatch cannot be
// asked nothing is found.
func (d *diagnosis) alarm(ctx context.Context, dlq *queue) error {
	ok, err := watched(ctx, d.watch, dlq.name)
	if err != nil {
		return ctx.Err()
	}
	if !ok {
		d.add(findNoAlarm, drivers.Minor, fmt.Sprintf("no CloudWatch alarm watches the depth of %s", dlq.name),
			"dead letters come and nobody is told", "sluice apply (with alarms.dead_letters: 1 in the configuration)")
	}
	return nil
}
