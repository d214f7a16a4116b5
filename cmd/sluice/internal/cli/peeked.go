package cli

import (
	"encoding/base64"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/handler"
)

// peeked is a message as peek shows it.
type peeked struct {
	ID         string            `json:"id"`
	Attempt    *int              `json:"attempt"` // nil if the provider does not report it
	Reason     string            `json:"reason,omitempty"`
	EnqueuedAt *time.Time        `json:"enqueued_at,omitempty"`
	Group      string            `json:"group,omitempty"`
	DedupeID   string            `json:"dedupe_id,omitempty"`
	Attributes map[string]string `json:"attributes"`
	// Body or, if it is not text, BodyBase64; BodyBytes is its whole length.
	Body       *string `json:"body,omitempty"`
	BodyBase64 string  `json:"body_base64,omitempty"`
	BodyBytes  int     `json:"body_bytes"`
	Cut        bool    `json:"body_cut"`
}

// newPeekedLetter shows a dead letter, with the attempts that the message had before it
// became one.
func newPeekedLetter(l letters.Letter, limit int) peeked {
	p := newPeeked(l.Message, false, limit)
	p.Attempt = nil
	if l.Attempts > 0 {
		p.Attempt = &l.Attempts
	}
	if l.Reason != letters.ReasonUnknown {
		p.Reason = l.Reason
	}
	return p
}

// newPeeked shows a message. counted is whether the provider counts attempts, so
// that 0 is a number.
func newPeeked(m *handler.Message, counted bool, limit int) peeked {
	p := peeked{ID: m.ID, Group: m.Group, DedupeID: m.DedupeID, Attributes: m.Attributes, BodyBytes: len(m.Body)}
	if p.Attributes == nil {
		p.Attributes = map[string]string{}
	}
	if m.Attempt > 0 || counted {
		p.Attempt = &m.Attempt
	}
	if !m.EnqueuedAt.IsZero() {
		at := m.EnqueuedAt.UTC()
		p.EnqueuedAt = &at
	}
	body, text := m.Body, utf8.Valid(m.Body)
	if limit > 0 && len(body) > limit {
		p.Cut = true
		body = body[:limit]
		for text && !utf8.Valid(body) {
			body = body[:len(body)-1] // between two characters
		}
	}
	if text {
		s := string(body)
		p.Body = &s
	} else {
		p.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	return p
}

// String returns the message as text, a line for each of its parts.
func (p peeked) String() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, value)
		}
	}
	line("id", printable(p.ID)) // on NATS and its like the sender gives it
	if p.Attempt != nil {
		line("attempt", strconv.Itoa(*p.Attempt))
	}
	line("reason", printable(p.Reason))
	if p.EnqueuedAt != nil {
		line("enqueued", p.EnqueuedAt.Format(time.RFC3339))
	}
	line("group", printable(p.Group))
	line("dedupe-id", printable(p.DedupeID))
	names := make([]string, 0, len(p.Attributes))
	for name := range p.Attributes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		shown := printable(name)
		if strings.ContainsAny(name, `="`) {
			shown = strconv.Quote(name) // so that the end of the name is plain
		}
		line("attribute", shown+"="+printable(p.Attributes[name]))
	}
	body := p.shownBody()
	if p.Cut {
		body += fmt.Sprintf(" ... (%d bytes)", p.BodyBytes)
	}
	line("body", body)
	return b.String()
}

// shownBody returns the body, or its beginning, on one line.
func (p peeked) shownBody() string {
	switch {
	case p.BodyBytes == 0:
		return "(empty)"
	case p.Body != nil:
		return printable(*p.Body)
	default:
		return "(base64) " + p.BodyBase64
	}
}

// attempts returns the number of attempts for a table.
func (p peeked) attempts() string {
	if p.Attempt == nil {
		return "-"
	}
	return strconv.Itoa(*p.Attempt)
}
