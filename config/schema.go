package config

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers/provision"
)

// A kind is the kind of value that a key holds.
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
	fraction              // a number above 0, of at most 1
	rate                  // so many in a time
	key                   // the part of a message that distinguishes it
	choice                // one of some words
)

// A node is one key of the configuration and all that may be under it. It is the
// one place that knows the keys: reading, the environment, the effective values
// and the JSON Schema go by it.
type node struct {
	key  string
	kind kind
	doc  string
	min  int
	// positive refuses a span of 0, and a text that is empty.
	positive bool
	// named are the values of a key that are not attributes.
	named []Key
	// words are the values of a choice, and those of a URL key that are not URLs.
	words []string
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
		{key: "delay_store", kind: queueURL, positive: true, doc: "The database with the table of package outbox: postgres, sqlite or mysql. Delays that a provider cannot give go by it, and schedules need it. sluice outbox --migrate makes the table.",
			bind: func(b *binding) any { return &b.delayStore }},
		{key: "queues", kind: byName, doc: "The queues, by the name that commands and programs use.",
			of: &node{kind: section, doc: "One queue.", children: queueKeys()}},
		{key: "jobs", kind: textTable, doc: "The queue of each kind of job, by kind: service.OpenJobs sends by it.",
			bind: func(b *binding) any { return &b.jobs }},
		{key: "schedules", kind: byName, doc: "Messages that are sent at times of the clock, by name. They need a delay_store. A schedule with another name begins anew.",
			of: &node{kind: section, doc: "One schedule.", children: scheduleKeys()}},
		{key: "service", kind: section, doc: "The process that consumes the queues: package service, and sluice run.", children: serviceKeys()},
	}}
}

// serviceKeys is the table of the keys of the section service.
func serviceKeys() []*node {
	return []*node{
		{key: "admin", kind: text, positive: true, doc: "Where health, metrics and profiles are served: host:port, or a port alone, on the loopback interface. Package service serves them at 127.0.0.1:9464 by default, sluice run nowhere; off leaves them out.",
			bind: func(b *binding) any { return &b.service.Admin }},
		{key: "pprof", kind: truth, doc: "Serve profiles at the admin listener, below /debug/pprof/.",
			bind: func(b *binding) any { return &b.service.Pprof }},
		{key: "relay", kind: truth, doc: "Run the relay of the delay_store, and the schedules, in this process too. Default: true, if there is a delay_store. With false some other process must, such as sluice relay.",
			bind: func(b *binding) any { return &b.service.Relay }},
		{key: "control", kind: queueURL, words: []string{Off}, positive: true, doc: "The store in which sluice pause, resume and limit write, as a URL: file, sqlite, postgres or redis. Default: beside each queue's idempotency store, if that is sqlite, postgres or redis; off has consumers obey none.",
			bind: func(b *binding) any { return &b.service.Control }},
		{key: "groups", kind: byName, doc: "Groups of queues that share handlers, by the name that consumer.group has.",
			of: &node{kind: section, doc: "One group.", children: groupKeys()}},
	}
}

// groupKeys is the table of the keys of a group.
func groupKeys() []*node {
	return []*node{
		{key: "concurrency", kind: count, min: 1, standard: 16, doc: "How many messages of all queues of the group are handled concurrently.",
			bind: func(b *binding) any { return &b.group.Concurrency }},
	}
}

// scheduleKeys is the table of a schedule's keys.
func scheduleKeys() []*node {
	return []*node{
		{key: "cron", kind: text, positive: true, doc: "The times: minute, hour, day of the month, month, day of the week, with seconds as an optional first field, or a tag such as @daily. Either cron or every is required.",
			bind: func(b *binding) any { return &b.schedule.Cron }},
		{key: "every", kind: span, positive: true, doc: "The time between two messages, at least 1s. The times are its multiples since 1970, UTC.",
			bind: func(b *binding) any { return &b.schedule.Every }},
		{key: "zone", kind: text, positive: true, doc: "The IANA name of cron's time zone, such as Europe/Berlin. Default: UTC.",
			bind: func(b *binding) any { return &b.schedule.Zone }},
		{key: "queue", kind: text, positive: true, doc: "The configured queue that the messages go to. Required.",
			bind: func(b *binding) any { return &b.schedule.Queue }},
		{key: "body", kind: text, doc: "The message's body. Default: empty.",
			bind: func(b *binding) any { return &b.schedule.body }},
		{key: "attributes", kind: textTable, doc: "The message's attributes. The attributes schedule (the name) and scheduled-at (the time) are added.",
			bind: func(b *binding) any { return &b.schedule.attributes }},
		{key: "group", kind: text, positive: true, doc: "The group within which messages are handled in order.",
			bind: func(b *binding) any { return &b.schedule.group }},
		{key: "overlap", kind: choice, words: []string{"allow", "skip"}, standard: "allow", doc: "While the message before is still in the table: allow another, or skip this time.",
			bind: func(b *binding) any { return &b.schedule.overlap }},
		{key: "catch_up", kind: choice, words: []string{"last", "all", "none"}, standard: "last", doc: "Of the times that passed while no relay ran: send the last, all or none.",
			bind: func(b *binding) any { return &b.schedule.catchUp }},
	}
}

// A binding is a queue that is being filled in, or what has another field in its place.
type binding struct {
	Queue
	url        string
	service    Service
	schedule   schedule
	delayStore string
	jobs       map[string]string
	group      Group
}

// queueKeys is the table of a queue's keys, each with its place in the queue's
// specification.
func queueKeys() []*node {
	return []*node{
		{key: "url", kind: queueURL, positive: true, doc: "The queue's URL, for receiving and for sending. A Pub/Sub subscription's URL sends to its topic.",
			bind: func(q *binding) any { return &q.url }},
		{key: "source", kind: queueURL, positive: true, doc: "The URL for receiving, if it differs from url.",
			bind: func(q *binding) any { return &q.Source }},
		{key: "sink", kind: queueURL, positive: true, doc: "The URL for sending, if it differs from url.",
			bind: func(q *binding) any { return &q.Sink }},
		{key: "visibility_timeout", kind: span, positive: true, doc: "How long a received message is leased. SQS: visibility timeout; Pub/Sub: ack deadline (10s to 600s).",
			bind: func(q *binding) any { return &q.Spec.VisibilityTimeout }},
		{key: "retention", kind: span, positive: true, doc: "How long messages are kept. SQS: 60s to 14d; Pub/Sub: 10m to 31d.",
			bind: func(q *binding) any { return &q.Spec.Retention }},
		{key: "fifo", kind: truth, doc: "Messages of one group are delivered in order. SQS: a FIFO queue; Pub/Sub: message ordering.",
			bind: func(q *binding) any { return &q.Spec.FIFO }},
		{key: "exactly_once", kind: truth, doc: "Pub/Sub's exactly-once delivery. Other queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.ExactlyOnce }},
		{key: "retain_acked", kind: truth, doc: "Keep acknowledged messages for a replay. Pub/Sub only; other queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.RetainAcked }},
		{key: "kms_key", kind: text, positive: true, doc: "The key that encrypts messages. Without it the provider's own encryption is used. Embedded queues refuse it.",
			bind: func(q *binding) any { return &q.Spec.KMSKey }},
		{key: "tags", kind: textTable, doc: "Tags (SQS) or labels (Pub/Sub). Those that exist and are not named are left alone. Embedded queues refuse them.",
			bind: func(q *binding) any { return &q.Spec.Tags }},
		{key: "dead_letter", kind: section, doc: "The dead-letter queue. Without it none is made, except for an embedded queue, which has one by default.",
			bind: func(q *binding) any { q.Spec.DeadLetter = &provision.DeadLetter{}; return nil }, children: []*node{
				{key: "name", kind: text, positive: true, doc: "The dead-letter queue's name, on Pub/Sub the topic's. Default: the queue's own with -dlq behind it.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.Name }},
				{key: "max_attempts", kind: count, min: 1, standard: 5, doc: "After how many deliveries a message goes there. Pub/Sub: 5 to 100.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.MaxAttempts }},
				{key: "retention", kind: span, positive: true, doc: "How long letters are kept. Default: as long as the provider can.",
					bind: func(q *binding) any { return &q.Spec.DeadLetter.Retention }},
			}},
		{key: "retry", kind: section, doc: "The delay between deliveries. Pub/Sub: the subscription's retry policy; everywhere the backoff of consumers.",
			bind: func(q *binding) any { q.Spec.Retry = &provision.Retry{}; return nil }, children: []*node{
				{key: "min", kind: span, standard: time.Second, doc: "The delay after the first attempt.",
					bind: func(q *binding) any { return &q.Spec.Retry.Min }},
				{key: "max", kind: span, positive: true, standard: 10 * time.Minute, doc: "The longest delay.",
					bind: func(q *binding) any { return &q.Spec.Retry.Max }},
			}},
		{key: "consumer", kind: section, doc: "How the queue is consumed by package service and sluice run. doctor compares it with the queue.",
			bind: func(q *binding) any { q.Consumer = &Consumer{}; return nil }, children: consumerKeys()},
		{key: "alarms", kind: section, doc: "Alarms. SQS: apply makes them; Pub/Sub: plan --alerts prints them for gcloud. Embedded queues refuse them.",
			bind: func(q *binding) any { q.Spec.Alarms = &provision.Alarms{}; return nil }, children: []*node{
				{key: "dead_letters", kind: count, min: 0, doc: "Alarm at this many dead letters. 0 leaves it out.",
					bind: func(q *binding) any { return &q.Spec.Alarms.DeadLetters }},
				{key: "oldest_age", kind: span, doc: "Alarm when the oldest message is older. 0 leaves it out.",
					bind: func(q *binding) any { return &q.Spec.Alarms.OldestAge }},
				{key: "notify", kind: text, positive: true, doc: "The receiver of the alarm. SQS: an SNS topic's ARN; Pub/Sub: a notification channel.",
					bind: func(q *binding) any { return &q.Spec.Alarms.Notify }},
			}},
	}
}

// consumerKeys is the table of the keys of a queue's section consumer.
func consumerKeys() []*node {
	return []*node{
		{key: "concurrency", kind: count, min: 1, standard: 16, doc: "How many messages are handled concurrently.",
			bind: func(q *binding) any { return &q.Consumer.Concurrency }},
		{key: "group", kind: text, positive: true, doc: "The group of service.groups that the queue shares handlers with. Default: it has its own.",
			bind: func(q *binding) any { return &q.Consumer.Group }},
		{key: "weight", kind: count, min: 1, doc: "The queue's share of its group's handlers, relative to those of the others that have messages. Default: 1.",
			bind: func(q *binding) any { return &q.Consumer.Weight }},
		{key: "priority", kind: count, min: 1, doc: "While the queue has messages, those of its group with a lower priority, or without one, are not received from. Excludes weight.",
			bind: func(q *binding) any { return &q.Consumer.Priority }},
		{key: "timeout", kind: span, positive: true, doc: "How long a handler may take. Default: no limit.",
			bind: func(q *binding) any { return &q.Consumer.Timeout }},
		{key: "heartbeat", kind: truth, standard: true, doc: "Keep a message's lease while it is handled.",
			bind: func(q *binding) any { return &q.Consumer.Heartbeat }},
		{key: "p99", kind: span, positive: true, doc: "How long the slowest hundredth of the handlers take. doctor compares it with the visibility timeout.",
			bind: func(q *binding) any { return &q.Consumer.P99 }},
		{key: "retry", kind: section, doc: "When a failed message is tried again, and when no more.",
			bind: func(q *binding) any { q.Consumer.Retry = &Retry{}; return nil }, children: []*node{
				{key: "min", kind: span, positive: true, doc: "The delay after the first attempt. Default: the queue's retry.min, or 1s.",
					bind: func(q *binding) any { return &q.Consumer.Retry.Min }},
				{key: "max", kind: span, positive: true, doc: "The longest delay. Default: the queue's retry.max, or 10m.",
					bind: func(q *binding) any { return &q.Consumer.Retry.Max }},
				{key: "max_attempts", kind: count, min: 1, doc: "The attempt whose failure rejects the message, with the failure as the reason. Default: the queue's own limit.",
					bind: func(q *binding) any { return &q.Consumer.Retry.MaxAttempts }},
			}},
		{key: "idempotency", kind: section, doc: "Handle no message twice, by marks in a store.",
			bind: func(q *binding) any { q.Consumer.Idempotency = &Idempotency{}; return nil }, children: []*node{
				{key: "store", kind: queueURL, positive: true, doc: "The store's URL: mem, redis, postgres, sqlite, dynamodb, firestore or mongo.",
					bind: func(q *binding) any { return &q.Consumer.Idempotency.Store }},
				{key: "key", kind: key, named: []Key{ByDedupeID}, standard: ByDedupeID, doc: "The identity of a message: dedupe_id, or attribute:NAME.",
					bind: func(q *binding) any { return &q.Consumer.Idempotency.Key }},
				{key: "transactional", kind: truth, standard: false, doc: "Run the handler in a transaction of the store's SQL database, in which its effect and the mark commit together.",
					bind: func(q *binding) any { return &q.Consumer.Idempotency.Transactional }},
				{key: "ttl", kind: span, positive: true, standard: 14 * 24 * time.Hour, doc: "How long a mark is kept: longer than a duplicate can be late.",
					bind: func(q *binding) any { return &q.Consumer.Idempotency.TTL }},
			}},
		{key: "rate_limit", kind: section, doc: "Begin only so many messages in a time, in each process.",
			bind: func(q *binding) any { q.Consumer.RateLimit = &RateLimit{}; return nil }, children: []*node{
				{key: "rate", kind: rate, doc: "How many, such as 50/s or 5/10s.",
					bind: func(q *binding) any { return &q.Consumer.RateLimit.Rate }},
				{key: "key", kind: key, named: []Key{ByGroup}, doc: "Makes the limit one of each key: group, or attribute:NAME. Default: one limit for all messages.",
					bind: func(q *binding) any { return &q.Consumer.RateLimit.Key }},
			}},
		{key: "breaker", kind: section, doc: "Stop receiving while handlers fail because of what they depend on.",
			bind: func(q *binding) any { q.Consumer.Breaker = &Breaker{}; return nil }, children: []*node{
				{key: "window", kind: span, positive: true, standard: 30 * time.Second, doc: "How long an outcome counts.",
					bind: func(q *binding) any { return &q.Consumer.Breaker.Window }},
				{key: "min_count", kind: count, min: 1, standard: 10, doc: "How many outcomes there must be within the window.",
					bind: func(q *binding) any { return &q.Consumer.Breaker.MinCount }},
				{key: "ratio", kind: fraction, standard: 0.5, doc: "The part of them that must have failed, above 0 and up to 1.",
					bind: func(q *binding) any { return &q.Consumer.Breaker.Ratio }},
				{key: "open_for", kind: span, positive: true, standard: 5 * time.Second, doc: "How long receiving stops at first. Each failed probe doubles it, up to a minute.",
					bind: func(q *binding) any { return &q.Consumer.Breaker.OpenFor }},
			}},
		{key: "bulkhead", kind: section, doc: "Handle only so many messages of one key concurrently, in each process.",
			bind: func(q *binding) any { q.Consumer.Bulkhead = &Bulkhead{}; return nil }, children: []*node{
				{key: "limit", kind: count, min: 1, doc: "How many.",
					bind: func(q *binding) any { return &q.Consumer.Bulkhead.Limit }},
				{key: "key", kind: key, named: []Key{ByGroup}, doc: "The key: group, or attribute:NAME. Messages without it are not limited.",
					bind: func(q *binding) any { return &q.Consumer.Bulkhead.Key }},
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

// leaf reports whether a key holds a value and not further keys.
func (n *node) leaf() bool { return n.kind != section && n.kind != byName }

// parse turns the text of a scalar into the value that the key holds.
func (n *node) parse(s string) (any, error) {
	switch n.kind {
	case text, queueURL:
		if n.positive && strings.TrimSpace(s) == "" { // as ${NAME} of an empty variable
			return nil, errors.New("the value is empty")
		}
		return s, nil
	case rate:
		return ParseRate(s)
	case key:
		return parseKey(s, n.named...)
	case fraction:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", s)
		}
		if !(f > 0 && f <= 1) {
			return nil, fmt.Errorf("%s is not above 0 and up to 1", s)
		}
		return f, nil
	case choice:
		if !slices.Contains(n.words, s) {
			return nil, fmt.Errorf("%q is not %s", s, n.what())
		}
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
			return nil, fmt.Errorf("%q is not a whole number", s)
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
		if d == 0 && n.positive {
			return nil, fmt.Errorf("%q is not above zero", s)
		}
		return d, nil
	default:
		return nil, fmt.Errorf("%q is not allowed here", s)
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
	case fraction:
		return "a number above 0 and up to 1"
	case rate:
		return "a rate such as 50/s"
	case key:
		return "a key such as attribute:NAME"
	case choice:
		return strings.Join(n.words[:len(n.words)-1], ", ") + " or " + n.words[len(n.words)-1]
	default:
		return "a mapping"
	}
}
