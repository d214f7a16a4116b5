package drivers

import (
	"context"
	"net/url"
)

// Severity grades a [Finding].
type Severity string

// The severities.
const (
	// Critical: jobs are being, or will be, lost or doubled.
	Critical Severity = "critical"
	// Major: it will hurt under load or in an outage.
	Major Severity = "major"
	// Minor: it is not as it should be.
	Minor Severity = "minor"
)

// A Finding is one thing that is wrong with a queue.
type Finding struct {
	// ID names the kind of finding, such as "dlq-retention". It is stable.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Queue    string   `json:"queue"`
	// Fact is what was found, with its numbers; Why is why it matters.
	Fact string `json:"fact"`
	Why  string `json:"why"`
	// Command is what mends it, usually a sluice command.
	Command string `json:"command"`
}

// A Diagnoser finds what is wrong with a queue. It is an optional interface of
// an [Opener].
type Diagnoser interface {
	// Diagnose returns what is wrong with the queue that u names; nothing where
	// it is sound. spec is what the configuration says of the queue, nil where
	// it is known by its URL only; then drift is not looked for.
	Diagnose(ctx context.Context, u *url.URL, spec *QueueSpec) ([]Finding, error)
}
