package cloudevents

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sluice-go/sluice/handler"
)

const (
	prefix = "ce-"
	// contentType is the spelling of both bindings; it is read in any case.
	contentType    = "Content-Type"
	structuredType = "application/cloudevents+json"
	mediaPrefix    = "application/cloudevents"
)

// The distributed tracing extension's attributes, which are W3C's headers.
var traceNames = [...]string{"traceparent", "tracestate"}

func encode(m *handler.Message, e event.Event, mode Mode) error {
	if e.Context == nil {
		return errors.New("encode an event: it has no context; create it with event.New")
	}
	if v := e.SpecVersion(); v != event.CloudEventsVersionV1 {
		return fmt.Errorf("encode an event: unsupported CloudEvents version %s: only %s is supported", v, event.CloudEventsVersionV1)
	}
	if err := e.Validate(); err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	own := make(map[string]string, len(m.Attributes)+maxAttributes)
	for k, v := range m.Attributes {
		if lower := lowerASCII(k); lower != "content-type" && !strings.HasPrefix(lower, prefix) {
			own[k] = v
		}
	}
	if mode == Auto || mode == Binary {
		attributes, err := binary(e)
		if err != nil {
			return err
		}
		n := len(attributes) + len(own)
		switch {
		case mode == Binary && n > maxAttributes:
			return fmt.Errorf("encode an event in binary mode: the event and the message have %d attributes together, more than the %d of SQS: use Auto or Structured", n, maxAttributes)
		case mode == Binary || n <= maxAttributes && short(attributes):
			maps.Copy(own, attributes)
			trace(own, e, maxAttributes)
			m.Body, m.Attributes = e.Data(), own
			return nil
		}
	} else if mode != Structured {
		return fmt.Errorf("encode an event: unknown mode %v", mode)
	}
	body, err := structured(e)
	if err != nil {
		return err
	}
	own[contentType] = structuredType
	trace(own, e, maxAttributes)
	m.Body, m.Attributes = body, own
	return nil
}

// binary returns the attributes of a message that carries the event in binary mode.
func binary(e event.Event) (map[string]string, error) {
	as := map[string]string{
		prefix + "specversion": e.SpecVersion(), prefix + "id": e.ID(), prefix + "source": e.Source(), prefix + "type": e.Type(),
	}
	set := func(name, value string) {
		if value != "" {
			as[name] = value
		}
	}
	set(contentType, e.DataContentType())
	set(prefix+"subject", e.Subject())
	set(prefix+"dataschema", e.DataSchema())
	if t := e.Time(); !t.IsZero() {
		as[prefix+"time"] = types.FormatTime(t)
	}
	if strings.HasPrefix(strings.ToLower(e.DataContentType()), mediaPrefix) {
		return nil, fmt.Errorf("encode an event in binary mode: with the datacontenttype %q a receiver would mistake the data for a structured event: use Structured", e.DataContentType())
	}
	for name, v := range e.Extensions() {
		text, err := types.Format(v)
		if err != nil {
			return nil, fmt.Errorf("encode an event: extension %q: %w", name, err)
		}
		as[prefix+name] = text
	}
	for k, v := range as {
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("encode an event: the attribute %q is not UTF-8", k)
		}
	}
	return as, nil
}

func short(attributes map[string]string) bool {
	for _, v := range attributes {
		if len(v) > maxValueBytes {
			return false
		}
	}
	return true
}

// structured returns the event as JSON. Data that JSON would change is encoded as
// base64, whatever the event specifies.
func structured(e event.Event) ([]byte, error) {
	if !e.DataBase64 && len(e.DataEncoded) > 0 {
		if isJSON(e.DataMediaType()) {
			e.DataBase64 = !json.Valid(e.DataEncoded) || !utf8.Valid(e.DataEncoded)
		} else {
			e.DataBase64 = !utf8.Valid(e.DataEncoded)
		}
	}
	body, err := e.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return body, nil
}

func isJSON(mediaType string) bool {
	return mediaType == "" || mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// trace sets the message's own trace context if it has none.
func trace(attributes map[string]string, e event.Event, room int) {
	if attributes[traceNames[0]] != "" {
		return
	}
	extensions := e.Extensions()
	for _, name := range traceNames {
		v, err := types.Format(extensions[name])
		if err != nil || v == "" || len(attributes) >= room {
			// Without traceparent, tracestate has no meaning.
			return
		}
		attributes[name] = v
	}
}
