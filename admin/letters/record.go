package letters

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Record is a letter in an export: a line of JSON. It has all of a letter but its
// receives and the types of SQS's attributes, which become strings.
type Record struct {
	ID         string `json:"id"`
	Reason     string `json:"reason,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Attempts   int    `json:"attempts,omitempty"`
	Queue      string `json:"queue,omitempty"`
	Consumer   string `json:"consumer,omitempty"`
	Group      string `json:"group,omitempty"`
	DedupeID   string `json:"dedupe_id,omitempty"`
	EnqueuedAt string `json:"enqueued_at,omitempty"`
	First      string `json:"first_failed,omitempty"`
	Last       string `json:"last_failed,omitempty"`
	// Attributes are the letter's, failure attributes included. Reason and the other
	// fields repeat those for readers; an import goes by the attributes.
	Attributes map[string]string `json:"attributes"`
	// Body is the body, or BodyBase64 if it is not text.
	Body       *string `json:"body,omitempty"`
	BodyBase64 []byte  `json:"body_base64,omitempty"`
}

// NewRecord returns the record of a letter.
func NewRecord(l Letter) Record {
	m := l.Message
	r := Record{
		ID: m.ID, Reason: l.Reason, Kind: l.Kind, Attempts: l.Attempts, Queue: l.Queue, Consumer: l.Consumer, Group: m.Group, DedupeID: l.Identity(),
		EnqueuedAt: formatTime(m.EnqueuedAt), First: formatTime(l.First), Last: formatTime(l.Last), Attributes: maps.Clone(m.Attributes),
	}
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	if l.Reason == ReasonUnknown {
		r.Reason = ""
	}
	if utf8.Valid(m.Body) {
		s := string(m.Body)
		r.Body = &s
	} else {
		r.BodyBase64 = m.Body
	}
	return r
}

// Message returns the letter's message, to be sent to a dead-letter queue or, by package
// redrive, to the queue itself. Its ID is that of the letter that was exported.
func (r *Record) Message() (*handler.Message, error) {
	m := &handler.Message{ID: r.ID, Group: r.Group, DedupeID: r.DedupeID, Attributes: maps.Clone(r.Attributes), Body: r.BodyBase64}
	switch {
	case r.Body != nil && r.BodyBase64 != nil:
		return nil, errors.New("it has a body and a body_base64")
	case r.Body != nil:
		m.Body = []byte(*r.Body)
	case r.BodyBase64 == nil:
		return nil, errors.New("it has neither a body nor a body_base64")
	}
	if r.EnqueuedAt != "" {
		at, err := time.Parse(time.RFC3339Nano, r.EnqueuedAt)
		if err != nil {
			return nil, fmt.Errorf("enqueued_at: %w", err)
		}
		m.EnqueuedAt = at
	}
	if m.Attributes == nil {
		m.Attributes = map[string]string{}
	}
	// A letter that the provider made has no more than these, and the next one can't say
	// them of a letter that was sent to it.
	if _, failed := drivers.ParseFailure(m.Attributes); !failed && r.Queue != "" {
		m.Attributes[drivers.AttributeDeadLetterQueue] = r.Queue
	}
	return m, nil
}

// maxLine bounds a line of an export: more than any provider's largest message in base64,
// with attributes.
const maxLine = 64 << 20

// ReadRecords returns the messages of an export, each as [Record.Message] returns it. It
// ends with the first line that is not a record, with an error that names its number.
func ReadRecords(r io.Reader) iter.Seq2[*handler.Message, error] {
	return func(yield func(*handler.Message, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		n := 0
		for lines.Scan() {
			n++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			m, err := parseRecord(lines.Bytes())
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("line %d: %w", n+1, err))
		}
	}
}

func parseRecord(line []byte) (*handler.Message, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields() // a letter of another program would come back without what it has
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("there is more after the record")
	}
	return r.Message()
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
