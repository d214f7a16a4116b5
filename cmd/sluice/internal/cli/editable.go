package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// An editable is a message as a person edits it.
type editable struct {
	Attributes map[string]string `json:"attributes"`
	Group      string            `json:"group"`
	DedupeID   string            `json:"dedupe_id"`
	// One of these is the body.
	JSON       json.RawMessage `json:"json,omitempty"`
	Body       *string         `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

// newEditable returns a message for editing. The record of its redrives stays aside.
func newEditable(m *handler.Message) editable {
	e := editable{Attributes: maps.Clone(m.Attributes), Group: m.Group, DedupeID: m.DedupeID}
	if e.Attributes == nil {
		e.Attributes = map[string]string{}
	}
	delete(e.Attributes, deadletter.AttributeRedriveCount)
	delete(e.Attributes, deadletter.AttributeRedriveHistory)
	switch {
	case json.Valid(m.Body):
		e.JSON = m.Body
	case utf8.Valid(m.Body):
		s := string(m.Body)
		e.Body = &s
	default:
		e.BodyBase64 = m.Body
	}
	return e
}

// text returns the text that a person edits.
func (e editable) text() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(e)
	return b.Bytes(), err
}

// apply puts what a person made of the text of e into the message. A body in JSON that
// differs in white space only stays as it was.
func (e editable) apply(text []byte, m *handler.Message) error {
	var got editable
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more after the object")
	}
	bodies := 0
	if got.JSON != nil {
		bodies++
		var now, before bytes.Buffer
		if err := json.Compact(&now, got.JSON); err != nil {
			return err
		}
		if e.JSON == nil || json.Compact(&before, e.JSON) != nil || !bytes.Equal(now.Bytes(), before.Bytes()) {
			m.Body = now.Bytes()
		}
	}
	if got.Body != nil {
		bodies++
		m.Body = []byte(*got.Body)
	}
	if got.BodyBase64 != nil {
		bodies++
		m.Body = got.BodyBase64
	}
	if bodies != 1 {
		return errors.New("it must have one of json, body and body_base64")
	}
	if got.Attributes == nil {
		got.Attributes = map[string]string{}
	}
	for _, name := range []string{deadletter.AttributeRedriveCount, deadletter.AttributeRedriveHistory} {
		if v, ok := m.Attributes[name]; ok {
			got.Attributes[name] = v
		}
	}
	m.Attributes, m.Group, m.DedupeID = got.Attributes, got.Group, got.DedupeID
	return nil
}
