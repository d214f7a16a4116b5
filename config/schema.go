package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers/provision"
)

// A kind is what a key holds.
type kind uint8

const (
	section   kind = iota // a mapping with fixed keys
	byName                // a mapping from names of the user's to sections
	text                  // a string
	queueURL              // a string that is a URL, with secrets perhaps
	truth                 // a boolean
	count                 // an integer of at least min
	span                  // a duration of at least 0
	textTable             // a mapping from strings to strings
)

// A node is one key of the configuration and all that may be under it. It is the
// one place that knows the keys: reading, the environment, the effective values
// and the JSON Schema go by it.
type node struct {
	key  string
	kind kind
	doc  string
	min  int
	// standard is the value if the key's section is given and the key is
	// not. Nil means that there is no such value.
	standard any
	// bind returns a pointer to the place of a leaf's value. That of a section
	// makes the section, and is called before those below it.
	bind     func(q *binding) any
	children []*node // of a section
	of       *node   // of byName: each entry's section
}

// schema returns the tree of all keys.
func schema() *node {
	return &node{kind: section, children: []*node{
		{key: "queues", kind: byName, doc: "The queues, by the name that commands and programs use.",
			of: &node{kind: section, doc: "One queue.", children: queueKeys()}},
	}}
}

// A binding is a queue that is being filled in.
type binding struct {
	Queue
	url string
}

// queueKeys is the table of a queue's keys, each with its place in the queue's
// specification.
func queueKeys() []*node {
	return []*node{
		{key: "url", kind: queueURL, doc: "The queue's URL, for receiving and for sending. A Pub/Sub subscription's URL sends to its topic.",
			bind: func(q *binding) any { return &q.url }},
		{key: "source", kind: queueURL, doc: "The URL for receiving, where it is not url.",
			bind: func(q *binding) any { return &q.Source }},
		{key: "sink", kind: queueURL, doc: "The URL for sending, where it is not url.",
			bind: func(q *binding) any { return &q.Sink }},
		{key: "visibility_timeout", kind: span, doc: "How long a received message is leased. SQS: visibility timeout; Pub/Sub: ack deadline (10s to 600s).",
			bind: func(q *binding) any { return &q.Spec.VisibilityTimeout }},
		{key: "retention", kind: span, doc: "How long messages are kept. SQS: 60s to 14d; Pub/Sub: 10m to 31d.",
			bind: func(q *binding) any { return &q.Spec.Retention }},
		{key: "fifo", kind: truth, doc: "Messages of one group are delivered in order. SQS: a FIFO queue; Pub/Sub: message ordering.",
			bind: func(q *binding) any { return &q.Spec.FIFO }},
		{key: "exactly_once", kind: truth, doc: "Pub/Sub's exactly-once delivery. Other queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.ExactlyOnce }},
		{key: "retain_acked", kind: truth, doc: "Keep acknowledged messages for a replay. Pub/Sub only; other queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.RetainAcked }},
		{key: "kms_key", kind: text, doc: "The key that encrypts messages. Without it the provider's own encryption is used. Embedded queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.KMSKey }},
		{key: "tags", kind: textTable, doc: "Tags (SQS) or labels (Pub/Sub). Those that exist and are not named are left alone. Embedded queues refuse them.",
			bind: func(q *binding) any { return &q.Spec.Tags }},
		{key: "dead_letter", kind: section, doc: "The dead-letter queue. Without it none is made, except for an embedded queue, which has one by default.",
			bind: func(q *binding) any { q.Spec.DeadLetter = &provision.DeadLetter{}; return nil }, children: []*node{
				{key: "name", kind: text, doc: "The dead-letter queue's name, on Pub/Sub the topic's. Default: the queue's own with -dlq behind it.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.Name }},
				{key: "max_attempts", kind: count, min: 1, standard: 5, doc: "After how many deliveries a message goes there. Pub/Sub: 5 to 100.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.MaxAttempts }},
				{key: "retention", kind: span, doc: "How long letters are kept. Default: as long as the provider can.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.Retention }},
			}},
		{key: "retry", kind: section, doc: "The delay between deliveries. Pub/Sub: the subscription's retry policy; everywhere the backoff of consumers.",
			bind: func(q *binding) any { q.Spec.Retry = &provision.Retry{}; return nil }, children: []*node{
				{key: "min", kind: span, standard: time.Second, doc: "The delay after the first attempt.",
					bind: func(q *binding) any { return &q.Spec.Retry.Min }},
				{key: "max", kind: span, standard: 10 * time.Minute, doc: "The longest delay.",
					bind: func(q *binding) any { return &q.Spec.Retry.Max }},
			}},
		{key: "alarms", kind: section, doc: "Alarms that apply makes. Embedded queues refuse them.",
			bind: func(q *binding) any { q.Spec.Alarms = &provision.Alarms{}; return nil }, children: []*node{
				{key: "dead_letters", kind: count, min: 0, doc: "Alarm at this many dead letters. 0 leaves it out.",
					bind: func(q *binding) any { return &q.Spec.Alarms.DeadLetters }},
				{key: "oldest_age", kind: span, doc: "Alarm when the oldest message is older. 0 leaves it out.",
					bind: func(q *binding) any { return &q.Spec.Alarms.OldestAge }},
				{key: "notify", kind: text, doc: "Where the alarm goes. SQS: an SNS topic's ARN; Pub/Sub: a notification channel.",
					bind: func(q *binding) any { return &q.Spec.Alarms.Notify }},
			}},
	}
}

func (n *node) child(key string) *node {
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

func (n *node) keys() []string {
	ks := make([]string, len(n.children))
	for i, c := range n.children {
		ks[i] = c.key
	}
	return ks
}

// leaf is true for a key that holds a value, not keys of its own.
func (n *node) leaf() bool { return n.kind != section && n.kind != byName }

// parse turns the text of a scalar into the value that the key holds.
func (n *node) parse(s string) (any, error) {
	switch n.kind {
	case text, queueURL:
		return s, nil
	case truth:
		switch strings.ToLower(s) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", s)
	case count:
		i, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", s)
		}
		if i < n.min {
			return nil, fmt.Errorf("%d is below %d", i, n.min)
		}
		return i, nil
	case span:
		d, err := ParseDuration(s)
		if err != nil {
			return nil, err
		}
		if d < 0 {
			return nil, fmt.Errorf("%q is below zero", s)
		}
		return d, nil
	default:
		return nil, fmt.Errorf("%q cannot stand here", s)
	}
}

// format writes a value as parse reads it, without secrets.
func (n *node) format(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return FormatDuration(v)
	case string:
		if n.kind == queueURL {
			return Redact(v)
		}
		return v
	case map[string]any:
		pairs := make([]string, 0, len(v))
		for k, s := range v {
			pairs = append(pairs, fmt.Sprintf("%s=%v", k, s))
		}
		sort.Strings(pairs)
		return strings.Join(pairs, ",")
	default:
		return fmt.Sprint(v)
	}
}

// what names the kind for a person.
func (n *node) what() string {
	switch n.kind {
	case truth:
		return "true or false"
	case count:
		return "a whole number"
	case span:
		return "a duration such as 30s or 4d"
	case text, queueURL:
		return "a string"
	case textTable:
		return "a mapping of strings"
	default:
		return "a mapping"
	}
}
