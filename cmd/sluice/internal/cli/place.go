package cli

import (
	"log/slog"
	"strings"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// A place is what a command acts on, so that nobody acts on a queue of the same name
// elsewhere.
type place struct {
	Queue       string `json:"-"` // first in results, before what was done
	URL         string `json:"url"`
	DeadLetters string `json:"dead_letter_queue,omitempty"`
	Account     string `json:"account,omitempty"` // or project
	Region      string `json:"region,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
}

// placeOf returns the place of an open queue.
func placeOf(q *config.Queue, source drivers.Source) place {
	c := source.Capabilities()
	p := place{Queue: label(q, c), URL: config.Redact(q.Source), DeadLetters: c.DeadLetterQueue}
	if l, ok := source.(drivers.Locator); ok {
		at := l.Location()
		p.Account, p.Region, p.Endpoint = at.Account, at.Region, at.Endpoint
	}
	return p
}

// fields are the parts of a place that are known, with their names.
func (p place) fields() [][2]string {
	var out [][2]string
	for _, f := range [][2]string{
		{"url", p.URL}, {"dead_letter_queue", p.DeadLetters}, {"account", p.Account}, {"region", p.Region}, {"endpoint", p.Endpoint},
	} {
		if f[1] != "" {
			out = append(out, f)
		}
	}
	return out
}

// announce logs what a command acts on.
func (p place) announce(log *slog.Logger, doing string) {
	args := []any{"queue", p.Queue}
	for _, f := range p.fields() {
		args = append(args, f[0], f[1])
	}
	log.Info(doing, args...)
}

// String returns the place for a question.
func (p place) String() string {
	var parts []string
	for _, f := range p.fields() {
		parts = append(parts, strings.ReplaceAll(f[0], "_", " ")+" "+f[1])
	}
	return p.Queue + " (" + strings.Join(parts, ", ") + ")"
}
