package provision

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// A Planner compares a queue with its specification. It is an optional interface
// of an opener, since the queue may not exist yet.
type Planner interface {
	// Plan reads the queue that u names and returns the steps that make it what s
	// asks for, in the order in which they must be taken. It changes nothing. It
	// refuses a specification that the queue can't honor with an error whose code
	// is drivers.Invalid and that names the configuration's key. The caller
	// closes the plan.
	Plan(ctx context.Context, u *url.URL, s *Spec) (*Plan, error)
}

// A SpecOpener is an opener whose queues are made when they are opened. It is an
// optional interface of an opener.
type SpecOpener interface {
	// WithSpec returns u with the parameters by which opening it makes the queue
	// that s describes. It does no IO. It refuses a setting that the queue can't
	// honor, or that u has too, with an error whose code is drivers.Invalid and that
	// names the configuration's key. It doesn't change u.
	WithSpec(u *url.URL, s *Spec) (*url.URL, error)
}

// A Plan lists the steps from a queue's current state to its specification. It
// has no steps if nothing differs. It must not be used concurrently.
type Plan struct {
	Steps []Step
	// Alerts are the alarms of the specification that the provider doesn't take
	// from Sluice, each a JSON document as the provider's own tool takes it.
	// Pub/Sub: alert policies of Cloud Monitoring.
	Alerts []json.RawMessage
	// Release closes the connections that the steps use. Nil does nothing.
	Release func()
}

// Close releases the plan. Its steps can't be taken afterwards.
func (p *Plan) Close() {
	if p.Release != nil {
		p.Release()
	}
}

// Add appends a step. A nil do is for a change that Sluice doesn't make.
func (p *Plan) Add(c Change, do func(ctx context.Context) error) {
	p.Steps = append(p.Steps, Step{Change: c, Do: do})
}

// A Step is a change and the way to make it.
type Step struct {
	Change
	// Do makes the change. Nil leaves it to the user: Remedy describes how. A
	// [LeftOutError] says that the server lacks a part of it.
	Do func(ctx context.Context) error
}

// Kind classifies a [Change].
type Kind string

// The kinds of changes.
const (
	Create Kind = "create"
	Update Kind = "update"
	// Replace is a change that the provider cannot make in place: Remedy describes
	// what to do. It is never applied.
	Replace Kind = "replace"
	// Grant gives a permission.
	Grant Kind = "grant"
	// Note is not applied by Sluice: Remedy describes what to do by hand.
	Note Kind = "note"
)

// A Change is one difference between a queue and its specification.
type Change struct {
	// Queue is the queue's name in the configuration. Drivers leave it empty.
	Queue string `json:"queue"`
	// Resource is what changes, such as "sqs queue orders-dlq".
	Resource string `json:"resource"`
	Kind     Kind   `json:"kind"`
	// Field is the property; empty for a whole resource.
	Field string `json:"field,omitempty"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Destructive reports whether the change can lose messages or guarantees. It
	// is applied only if that is allowed.
	Destructive bool   `json:"destructive,omitempty"`
	Remedy      string `json:"remedy,omitempty"`
	// Applied reports whether the change was made. Drivers leave it false.
	Applied bool `json:"applied,omitempty"`
	// LeftOut names the part of the change that the server doesn't know, with its
	// answer. The rest was made if Applied is true. Servers that stand in for a
	// provider lack some properties.
	LeftOut string `json:"left_out,omitempty"`
}

// A LeftOutError is returned by a [Step] whose server, an emulator, doesn't know
// some of the properties that the step sets. The plan continues.
type LeftOutError struct {
	// The names of the properties; empty if the server needs none of them.
	What []string
	// Err is the server's latest refusal.
	Err error
	// Made reports whether the rest of the step was done.
	Made bool
}

// Error returns the properties and the server's answer.
func (e *LeftOutError) Error() string {
	if len(e.What) == 0 {
		return "not needed here"
	}
	return strings.Join(slices.Sorted(slices.Values(e.What)), ", ") + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *LeftOutError) Unwrap() error { return e.Err }
