package sqs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// more is the attribute sluice-more: attributes that SQS cannot carry as they
// are. Raw ones are not UTF-8, which JSON cannot carry either: their names and
// values are base64.
// Own ones are the driver's, for which the message had no room. Kinds are the
// types, by name, of those in Text that another client sent with one that is not
// String; those of a Binary type are base64.
type more struct {
	Text  map[string]string `json:"text,omitempty"`
	Raw   map[string]string `json:"raw,omitempty"`
	Own   map[string]string `json:"own,omitempty"`
	Kinds map[string]string `json:"types,omitempty"`
}

func (m *more) add(name, value string) {
	if utf8.ValidString(name) && utf8.ValidString(value) {
		if m.Text == nil {
			m.Text = make(map[string]string)
		}
		m.Text[name] = value
		return
	}
	if m.Raw == nil {
		m.Raw = make(map[string]string)
	}
	m.Raw[base64.StdEncoding.EncodeToString([]byte(name))] = base64.StdEncoding.EncodeToString([]byte(value))
}

// addOwn adds one of the driver's own attributes, which are sendable.
func (m *more) addOwn(name, value string) {
	if m.Own == nil {
		m.Own = make(map[string]string)
	}
	m.Own[name] = value
}

// addTyped is add for an attribute that was received with a type.
func (m *more) addTyped(name, value, kind string) {
	m.add(name, value)
	if kind == stringType || m.Text[name] != value {
		return
	}
	if m.Kinds == nil {
		m.Kinds = make(map[string]string)
	}
	m.Kinds[name] = kind
}

func (m *more) empty() bool { return len(m.Text)+len(m.Raw)+len(m.Own) == 0 }

// escaper escapes the characters that JSON leaves as they are and SQS refuses.
var escaper = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`)

func (m *more) String() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return "{}" // two maps of strings: it cannot fail
	}
	return escaper.Replace(strings.TrimSuffix(b.String(), "\n"))
}

// parseMore reads what String has written. An s that is none of ours is an error.
func parseMore(s string) (more, error) {
	var m more
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	if d.More() {
		return m, fmt.Errorf("something follows the object")
	}
	raw := make(map[string]string, len(m.Raw))
	for k, v := range m.Raw {
		name, err := base64.StdEncoding.DecodeString(k)
		if err != nil {
			return m, err
		}
		value, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return m, err
		}
		raw[string(name)] = string(value)
	}
	m.Raw = raw // decoded
	return m, nil
}
