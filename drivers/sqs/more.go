package sqs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// more is the value of the attribute sluice-more: attributes that SQS cannot carry
// on their own.
//
//   - Text has attributes whose names and values are UTF-8.
//   - Raw has the others, which JSON cannot carry either: their names and values are
//     base64.
//   - Own has the driver's own, if the message had no room for them.
//   - Kinds has the types, by name, of those in Text that another client sent with a
//     type other than String; the values of Binary types are base64.
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

// addTyped is add for an attribute that was received with the type kind.
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

// escaper escapes the characters that SQS refuses and JSON encoding keeps.
var escaper = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`)

func (m *more) String() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return "{}" // maps of strings: it cannot fail
	}
	return escaper.Replace(strings.TrimSuffix(b.String(), "\n"))
}

// parseMore parses the result of String. It returns an error for any other s.
func parseMore(s string) (more, error) {
	var m more
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, err
	}
	if d.More() {
		return m, fmt.Errorf("there is data after the object")
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
