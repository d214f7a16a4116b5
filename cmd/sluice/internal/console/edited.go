package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// edited are the fields of a letter in a form.
type edited struct {
	// Kind is the attribute "type", and Attributes the JSON object of all
	// others.
	Body, Kind, Attributes, Group string
}

// aside reports whether an attribute is a record of the redrives of a letter, which stays
// as it is.
func aside(name string) bool {
	return name == deadletter.AttributeRedriveCount || name == deadletter.AttributeRedriveHistory
}

// newEdited returns the fields of a letter as it would be sent back.
func newEdited(m *handler.Message) edited {
	as := drivers.WithoutFailure(m.Attributes)
	e := edited{Body: string(m.Body), Kind: as[attribute.Kind], Group: m.Group}
	delete(as, attribute.Kind)
	maps.DeleteFunc(as, func(name, _ string) bool { return aside(name) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(as); err == nil { // a map of strings always encodes
		e.Attributes = strings.TrimSpace(b.String())
	}
	return e
}

// editedOf returns the fields that a form has. Fields that it does not have stay as they
// are.
func editedOf(r *http.Request, m *handler.Message) edited {
	e := newEdited(m)
	if r.PostForm.Has("body") {
		e.Body = typed(r.PostFormValue("body"), m.Body)
	}
	if r.PostForm.Has("kind") {
		e.Kind = r.PostFormValue("kind")
	}
	if r.PostForm.Has("attributes") {
		e.Attributes = r.PostFormValue("attributes")
	}
	if r.PostForm.Has("group") {
		e.Group = r.PostFormValue("group")
	}
	return e
}

// attributes returns all attributes, or why they cannot be read.
func (e edited) attributes() (map[string]string, error) {
	out := make(map[string]string)
	d := json.NewDecoder(strings.NewReader(e.Attributes))
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf(`the attributes must be a JSON object of strings, such as {"tenant": "acme"}: %w`, err)
	}
	if d.More() {
		return nil, errors.New("the attributes must be one JSON object: there is more after it")
	}
	if out == nil { // null
		out = make(map[string]string)
	}
	for name := range out {
		switch {
		case name == "":
			return nil, errors.New("an attribute has no name")
		case name == attribute.Kind:
			return nil, fmt.Errorf("the attribute %q is the kind: change it in its own field", name)
		case aside(name):
			return nil, fmt.Errorf("the attribute %q is the record of redrives, which is kept: leave it away", name)
		}
	}
	if e.Kind != "" {
		out[attribute.Kind] = e.Kind
	}
	return out, nil
}

// apply changes a message, with attributes that attributes has returned.
func (e edited) apply(m *handler.Message, attributes map[string]string) {
	for name, value := range m.Attributes {
		if aside(name) {
			attributes[name] = value
		}
	}
	m.Body, m.Attributes, m.Group = []byte(e.Body), attributes, e.Group
}

// typed returns the text of a form with the ends of lines that the original has. Browsers
// send CR and LF.
func typed(text string, original []byte) string {
	if bytes.Contains(original, []byte("\r\n")) {
		return text
	}
	return strings.ReplaceAll(text, "\r\n", "\n")
}
