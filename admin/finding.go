package admin

// Severity grades a [Finding].
type Severity string

// The severities.
const (
	// Critical: jobs are being, or will be, lost or doubled.
	Critical Severity = "critical"
	// Major: it will hurt under load or in an outage.
	Major Severity = "major"
	// Minor: the queue is not as it should be.
	Minor Severity = "minor"
)

// A Finding is one thing that is wrong with a queue.
type Finding struct {
	// ID names the kind of finding, such as "dlq-retention". It is stable.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// Queue is the target's name.
	Queue string `json:"queue"`
	// Fact is the observation, with its numbers; Why is the reason why it matters.
	Fact string `json:"fact"`
	Why  string `json:"why"`
	// Remedy mends it.
	Remedy Remedy `json:"-"`
}

// RemedyKind is a kind of remedy.
type RemedyKind string

// The kinds of remedies.
const (
	// ApplySpec: apply the queue's specification unchanged.
	ApplySpec RemedyKind = "apply"
	// ChangeSpec: change the specification as Setting says, and apply it.
	ChangeSpec RemedyKind = "change"
	// ReadPlan: read the plan, which contains the remedy.
	ReadPlan RemedyKind = "plan"
	// Redrive: bring the dead letters back.
	Redrive RemedyKind = "redrive"
	// PeekAndRedrive: look at the dead letters, then redrive them.
	PeekAndRedrive RemedyKind = "peek"
	// KeepLeases: give the handlers the heartbeat middleware, or change the
	// specification as Setting says.
	KeepLeases RemedyKind = "heartbeat"
	// ConsumeMore: run more consumers, or change the specification as Setting says.
	ConsumeMore RemedyKind = "consume"
)

// A Remedy is the way to mend a [Finding]. It names no command of the sluice
// program.
type Remedy struct {
	Kind RemedyKind
	// Setting is what to write in the queue's configuration, as in
	// "dead_letter.max_attempts: 5". Empty means no particular one.
	Setting string
	// Command is a command of the provider's own tool that mends it too. It may
	// be empty.
	Command string
}
