package provision

import (
	"context"
	"net/url"
	"time"
)

// SampledLetters is how many dead letters an [Examiner] looks at to learn their
// ages.
const SampledLetters = 10

// An Examiner reads the facts from which package admin judges a queue. It is an
// optional interface of an opener.
type Examiner interface {
	// Examine returns the facts about the queue that u names. It may look at up to
	// [SampledLetters] dead letters, which counts as a delivery of each, and
	// receives no message of the queue itself. A fact that the program may not
	// read, or that the server doesn't know, is left zero. With an error, the
	// state has the facts that were read before it, or is nil.
	Examine(ctx context.Context, u *url.URL) (*State, error)
}

// A State is a queue as its provider describes it.
type State struct {
	// Queue is the queue's own name.
	Queue string
	// Lease is how long a received message is leased.
	Lease time.Duration
	// Retention is how long messages are kept, and MaxRetention the longest that
	// the provider can. Zero is not known.
	Retention, MaxRetention time.Duration
	// OldestAge is the age of the oldest message. Zero is not known, or none.
	OldestAge time.Duration
	// Ordered reports whether the queue keeps groups in order.
	Ordered bool
	// AttemptsLimit is the highest limit of attempts that the provider takes. Zero
	// means no limit.
	AttemptsLimit int
	// DeadLetter is the dead-letter policy; nil if the queue has none.
	DeadLetter *DeadLetterState
	// Faults are the faults that only the driver can recognize.
	Faults []Fault
}

// Fault adds a fault to the state.
func (s *State) Fault(k FaultKind, fact string) {
	s.Faults = append(s.Faults, Fault{Kind: k, Fact: fact})
}

// A DeadLetterState is a dead-letter policy, and the queue that it names.
type DeadLetterState struct {
	// Name is the queue in which the letters are kept.
	Name string
	// MaxAttempts is how often a message is delivered before it goes there. Zero
	// means no limit: only rejected messages go there.
	MaxAttempts int
	// Retention is how long letters are kept. Zero is not known.
	Retention time.Duration
	// KeepsAge reports whether a letter keeps its message's age, so that both
	// retentions count from the same time.
	KeepsAge bool
	// Letters is how many there are. Zero is also not known.
	Letters int64
	// Ages are the ages of the letters that were looked at.
	Ages []time.Duration
	// OldestAge is the age of the oldest letter by the provider's metrics, which may be
	// less than the letter's own: SQS counts it from when the letter was made. Zero is not
	// known.
	OldestAge time.Duration
	// Unwatched reports that no alarm watches the number of letters. False is also
	// not known.
	Unwatched bool
}

// A Fault is something wrong with a queue that only its driver can recognize.
type Fault struct {
	Kind FaultKind
	// Fact is the observation, with its numbers and names.
	Fact string
	// Command is a command of the provider's own tool that mends it. It may
	// be empty.
	Command string
}

// FaultKind is a kind of fault in admin's catalogue of findings.
type FaultKind string

// The kinds of faults that drivers report.
const (
	// DeadLetterMissing: the policy names a queue or topic that doesn't exist.
	DeadLetterMissing FaultKind = "dlq-missing"
	// DeadLetterUnread: letters are lost, since nothing keeps them.
	DeadLetterUnread FaultKind = "dlq-no-subscription"
	// DeadLetterMismatch: the provider moves no message to a queue of that kind.
	DeadLetterMismatch FaultKind = "dlq-kind"
	// DeadLetterUnordered: letters of an ordered queue are read in any order.
	DeadLetterUnordered FaultKind = "dlq-order"
	// GrantsMissing: the provider may not dead-letter messages.
	GrantsMissing FaultKind = "grants-missing"
	// TopicMissing: messages that are sent don't reach the queue.
	TopicMissing FaultKind = "topic-missing"
	// NoRetryPolicy: a failed message is delivered again immediately.
	NoRetryPolicy FaultKind = "no-retry-policy"
	// Expires: the provider deletes the queue when nobody uses it.
	Expires FaultKind = "subscription-expires"
	// ShortPolling: receives that don't ask for a wait return without one.
	ShortPolling FaultKind = "short-polling"
	// NoAllowPolicy: the dead-letter queue serves any queue, or not this one.
	NoAllowPolicy FaultKind = "no-allow-policy"
	// NoRedriveFilter: the subscription receives the redrives of other subscriptions.
	NoRedriveFilter FaultKind = "no-redrive-filter"
	// Unencrypted: messages are stored unencrypted.
	Unencrypted FaultKind = "encryption-off"
)
