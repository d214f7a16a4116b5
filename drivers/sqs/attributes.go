package sqs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// The limits of a queue's attributes, from
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
const (
	minRetention   = time.Minute
	maxRetention   = 14 * 24 * time.Hour
	maxReceives    = 1000
	longPoll       = drivers.MaxWait
	defaultReceive = 5 // attempts before a message is a dead letter
)

// Names of queue attributes.
const (
	attrVisibility  = string(types.QueueAttributeNameVisibilityTimeout)
	attrRetention   = string(types.QueueAttributeNameMessageRetentionPeriod)
	attrWait        = string(types.QueueAttributeNameReceiveMessageWaitTimeSeconds)
	attrFIFO        = string(types.QueueAttributeNameFifoQueue)
	attrRedrive     = string(types.QueueAttributeNameRedrivePolicy)
	attrAllow       = string(types.QueueAttributeNameRedriveAllowPolicy)
	attrKMS         = string(types.QueueAttributeNameKmsMasterKeyId)
	attrSSE         = string(types.QueueAttributeNameSqsManagedSseEnabled)
	attrARN         = string(types.QueueAttributeNameQueueArn)
	attrMaxReceives = "maxReceiveCount"
)

// A wish is the wanted attributes of a queue. Zero fields are left alone.
type wish struct {
	name       string
	visibility time.Duration
	retention  time.Duration
	fifo       bool
	kmsKey     string
	tags       map[string]string
	// deadLetter is the dead-letter queue's name, with maxReceives.
	deadLetter  string
	maxReceives int
	// serves is, on a dead-letter queue, the queue that it serves.
	serves string
}

// wishes turns a specification into the wanted state of the queue and, if it
// has one, of its dead-letter queue.
func wishes(t *target, spec *provision.Spec) (main wish, dead *wish, err error) {
	main = wish{
		name: t.name, visibility: spec.VisibilityTimeout, retention: spec.Retention,
		fifo: spec.FIFO || strings.HasSuffix(t.name, ".fifo"), kmsKey: spec.KMSKey, tags: spec.Tags,
	}
	refuse := func(format string, args ...any) (wish, *wish, error) {
		return wish{}, nil, &drivers.Error{Code: drivers.Invalid, Queue: t.name, Op: "plan", Err: fmt.Errorf(format, args...)}
	}
	switch {
	case spec.FIFO && !strings.HasSuffix(t.name, ".fifo"):
		return refuse("a FIFO queue's name must end in .fifo: call it %s.fifo", t.name)
	case spec.VisibilityTimeout < 0 || spec.VisibilityTimeout > maxLease || spec.VisibilityTimeout%time.Second != 0:
		return refuse("visibility_timeout is %v: SQS accepts whole seconds up to 12h", spec.VisibilityTimeout)
	case spec.Retention != 0 && (spec.Retention < minRetention || spec.Retention > maxRetention || spec.Retention%time.Second != 0):
		return refuse("retention is %v: SQS keeps messages for 1 minute to 14 days", spec.Retention)
	case spec.ExactlyOnce:
		return refuse("exactly_once: SQS does not support it; use the idempotency middleware")
	case spec.RetainAcked:
		return refuse("retain_acked: SQS does not keep deleted messages")
	}
	d := spec.DeadLetter
	if d == nil {
		return main, nil, nil
	}
	dead = &wish{name: d.Name, retention: d.Retention, fifo: main.fifo, kmsKey: spec.KMSKey, tags: spec.Tags, serves: t.name}
	if dead.name == "" {
		dead.name = deadLetterName(t.name)
	}
	if dead.retention == 0 {
		dead.retention = maxRetention
	}
	main.deadLetter, main.maxReceives = dead.name, d.MaxAttempts
	if main.maxReceives == 0 {
		main.maxReceives = defaultReceive
	}
	switch {
	case dead.fifo != strings.HasSuffix(dead.name, ".fifo"):
		return refuse("the dead-letter queue %s must be of the queue's kind: the names of FIFO queues end in .fifo, other names do not", dead.name)
	case dead.name == t.name:
		return refuse("%w", errOwnLetters)
	case dead.retention < minRetention || dead.retention > maxRetention || dead.retention%time.Second != 0:
		return refuse("dead_letter.retention is %v: SQS keeps messages for 1 minute to 14 days", dead.retention)
	case main.maxReceives < 1 || main.maxReceives > maxReceives:
		return refuse("dead_letter.max_attempts is %d: SQS accepts 1 to %d", main.maxReceives, maxReceives)
	case !main.fifo && main.retention >= dead.retention:
		// A letter keeps the time at which its message was sent.
		return refuse("retention %v is not below dead_letter.retention %v: letters keep the age of their messages and would expire immediately",
			main.retention, dead.retention)
	}
	return main, dead, nil
}

// deadLetterName is the name of a queue's dead-letter queue if none is given.
func deadLetterName(queue string) string {
	if base, fifo := strings.CutSuffix(queue, ".fifo"); fifo {
		return base + "-dlq.fifo"
	}
	return queue + "-dlq"
}

// attributes are those of a queue that w wishes for, as SQS takes them.
// deadLetterARN names the dead-letter queue.
func (w *wish) attributes(deadLetterARN string) map[string]string {
	out := map[string]string{attrWait: secondsText(longPoll)}
	if w.visibility > 0 {
		out[attrVisibility] = secondsText(w.visibility)
	}
	if w.retention > 0 {
		out[attrRetention] = secondsText(w.retention)
	}
	if w.kmsKey != "" {
		out[attrKMS] = w.kmsKey
	} else {
		out[attrSSE] = "true"
	}
	if w.deadLetter != "" {
		out[attrRedrive] = redriveText(deadLetterARN, w.maxReceives)
	}
	return out
}

func secondsText(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func redriveText(deadLetterARN string, receives int) string {
	text, err := json.Marshal(map[string]any{"deadLetterTargetArn": deadLetterARN, attrMaxReceives: receives})
	if err != nil {
		return "" // a string and a number: it cannot fail
	}
	return string(text)
}

// An allowance is a dead-letter queue's RedriveAllowPolicy: which queues it may
// serve.
type allowance struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

// maxAllowed is how many queues SQS lets an allow policy name.
const maxAllowed = 10

// allow returns the policy old with source in it, and whether that is another.
func allow(old, source string) (allowance, bool, error) {
	var a allowance
	if old != "" {
		if err := json.Unmarshal([]byte(old), &a); err != nil {
			return a, false, fmt.Errorf("redrive allow policy %q: %w", old, err)
		}
	}
	if a.Permission == "byQueue" && slices.Contains(a.Sources, source) {
		return a, false, nil
	}
	if a.Permission != "byQueue" {
		a.Sources = nil
	}
	if len(a.Sources) >= maxAllowed {
		return a, false, fmt.Errorf("the redrive allow policy already names %d queues, the limit of SQS", maxAllowed)
	}
	a.Permission, a.Sources = "byQueue", append(a.Sources, source)
	return a, true, nil
}

func (a allowance) String() string {
	text, err := json.Marshal(a)
	if err != nil {
		return "" // strings: it cannot fail
	}
	return string(text)
}
