package cloudevents

import (
	"fmt"
	"mime"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sluice-go/sluice/handler"
)

func decode(m *handler.Message) (*event.Event, error) {
	attributes, content, err := find(m)
	if err != nil {
		return nil, err
	}
	media := content
	if parsed, _, err := mime.ParseMediaType(content); err == nil {
		media = parsed
	}
	media = strings.ToLower(strings.TrimSpace(media))
	var e *event.Event
	switch {
	case media == structuredType:
		e = &event.Event{}
		if err := e.UnmarshalJSON(m.Body); err != nil {
			return nil, fmt.Errorf("structured CloudEvent: %w", err)
		}
	case strings.HasPrefix(media, mediaPrefix+"-batch"):
		return nil, fmt.Errorf("%w (Content-Type %q)", errBatch, content)
	case strings.HasPrefix(media, mediaPrefix):
		return nil, fmt.Errorf("unknown CloudEvents format: Content-Type %q; only JSON is supported, as %s", content, structuredType)
	case attributes["specversion"] == "":
		return nil, errNoEvent
	default:
		if e, err = fromBinary(m, attributes, content); err != nil {
			return nil, fmt.Errorf("binary CloudEvent: %w", err)
		}
	}
	if v := e.SpecVersion(); v != event.CloudEventsVersionV1 {
		return nil, fmt.Errorf("unsupported CloudEvents version %q: only %s is supported", v, event.CloudEventsVersionV1)
	}
	// The two belong together: a tracestate must not join another's traceparent.
	if e.Extensions()[traceNames[0]] == nil && m.Attribute(traceNames[0]) != "" {
		for _, name := range traceNames {
			if v := m.Attribute(name); v != "" {
				e.SetExtension(name, v)
			}
		}
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("CloudEvent: %w", err)
	}
	return e, nil
}

// find returns the event's attributes, by their names without the prefix, and the
// content type. The bindings ignore the case of names; a name that occurs twice is
// refused, since readers would disagree about its value.
func find(m *handler.Message) (attributes map[string]string, content string, err error) {
	attributes = make(map[string]string, len(m.Attributes))
	typed := false
	for k, v := range m.Attributes {
		lower := lowerASCII(k)
		if lower == "content-type" {
			if typed {
				return nil, "", fmt.Errorf("the attribute %s occurs twice, in different case", contentType)
			}
			typed, content = true, v
			continue
		}
		name, ok := strings.CutPrefix(lower, prefix)
		if !ok {
			continue
		}
		if _, twice := attributes[name]; twice {
			return nil, "", fmt.Errorf("the attribute %q occurs twice, in different case", lower)
		}
		attributes[name] = v
	}
	return attributes, content, nil
}

// lowerASCII returns k with its ASCII letters in lower case, as HTTP compares names. By
// Unicode's rules "ce-İd" would be "ce-id" too.
func lowerASCII(k string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, k)
}

func fromBinary(m *handler.Message, attributes map[string]string, content string) (*event.Event, error) {
	if v := attributes["specversion"]; v != event.CloudEventsVersionV1 {
		return nil, fmt.Errorf("unsupported specversion %q: only %s is supported", v, event.CloudEventsVersionV1)
	}
	e := event.New(event.CloudEventsVersionV1)
	if content == "" {
		// The draft's own example omits it.
		content = attributes["datacontenttype"]
	}
	if content != "" {
		e.SetDataContentType(content)
	}
	for name, v := range attributes {
		switch name {
		case "specversion", "datacontenttype":
		case "id":
			e.SetID(v)
		case "source":
			e.SetSource(v)
		case "type":
			e.SetType(v)
		case "subject":
			e.SetSubject(v)
		case "dataschema":
			e.SetDataSchema(v)
		case "time":
			t, err := types.ParseTime(v)
			if err != nil {
				return nil, fmt.Errorf("time: %w", err)
			}
			e.SetTime(t)
		default:
			e.SetExtension(name, v)
		}
	}
	if len(m.Body) > 0 {
		e.DataEncoded = m.Body
	}
	return &e, nil
}
