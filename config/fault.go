package config

import (
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/internal/nearest"
)

// A Fault is one thing that is wrong in the configuration.
type Fault struct {
	// Origin is its place.
	Origin Origin
	// Path is the key it is about, such as "queues.orders.url"; empty if it
	// is about a file as a whole.
	Path string
	// Problem describes the fault, and Remedy, which may be empty, what to do.
	Problem, Remedy string
}

// Error returns origin, problem and remedy in one line.
func (f *Fault) Error() string {
	var b strings.Builder
	if at := f.Origin.String(); at != "" {
		b.WriteString(at)
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path)
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", f.Remedy)
	}
	return b.String()
}

// An Error is a configuration that cannot be used, with everything that is wrong
// with it. Find it with errors.As.
type Error struct {
	// Faults is never empty, and in the order of the files and their lines.
	Faults []*Fault
}

// Error returns the faults, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		errs[i] = f
	}
	return errs
}

// UnknownQueueError is a name that is not a queue of the configuration.
type UnknownQueueError struct {
	// Name is the requested name, and Nearest the name that was probably meant,
	// empty if none is near.
	Name, Nearest string
	// Known are the names there are, sorted.
	Known []string
}

// Error names the queue and what may have been meant.
func (e *UnknownQueueError) Error() string {
	const asURL = "or give the queue as a URL, such as sqlite://jobs.db?queue="
	switch {
	case len(e.Known) == 0:
		return fmt.Sprintf("unknown queue %q: no queue is configured (write a %s, %s%s)", e.Name, DefaultFile, asURL, e.Name)
	case e.Nearest != "":
		return fmt.Sprintf("unknown queue %q: did you mean %q? (known: %s)", e.Name, e.Nearest, strings.Join(e.Known, ", "))
	default:
		return fmt.Sprintf("unknown queue %q (known: %s; %s%s)", e.Name, strings.Join(e.Known, ", "), asURL, e.Name)
	}
}

// didYouMean returns a remedy for a word that is not among the known ones.
func didYouMean(got string, known []string) string {
	if n := nearest.Of(got, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "known: " + strings.Join(known, ", ")
}
