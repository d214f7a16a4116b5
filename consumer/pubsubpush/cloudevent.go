package pubsubpush

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	cePrefix = "ce-"
	// messagePublished is the type of an event that is a message of Pub/Sub.
	messagePublished = "google.cloud.pubsub.topic.v1.messagePublished"
	// attributeContentType is the attribute for the event's content type in Google's
	// Pub/Sub binding of CloudEvents, whose names are all lower-case.
	attributeContentType = "content-type"
	structured           = "application/cloudevents"
	batched              = "application/cloudevents-batch"
)

// readCloudEvent parses an event in the binary or the structured mode of CloudEvents'
// HTTP binding. Its message is the event in Google's Pub/Sub binding: the same bytes,
// ce-… attributes in binary mode, and the content type.
func readCloudEvent(h http.Header, body []byte) (pushed, error) {
	kind := h.Get("Content-Type")
	media, _, err := mime.ParseMediaType(kind)
	if err != nil {
		media = ""
	}
	switch {
	case strings.HasPrefix(media, batched):
		return pushed{}, errors.New("the body is a batch of CloudEvents, which Google's services never send")
	case strings.HasPrefix(media, structured):
		return readStructured(kind, media, body)
	case h.Get(cePrefix+"type") == messagePublished:
		return readWrapped(body)
	}
	pm := &pubsubpb.PubsubMessage{Data: body}
	pm.Attributes = attributes(h, func(name string) (string, bool) {
		switch name {
		case attributeContentType, "traceparent", "tracestate":
			return name, true
		}
		return name, strings.HasPrefix(name, cePrefix)
	})
	for name, v := range pm.Attributes {
		if strings.HasPrefix(name, cePrefix) {
			pm.Attributes[name] = percentDecoded(v)
		}
	}
	for _, name := range []string{"ce-id", "ce-source", "ce-type", "ce-specversion"} {
		if pm.Attributes[name] == "" {
			return pushed{}, fmt.Errorf("the request is not a CloudEvent: it has no %s header", name)
		}
	}
	pm.MessageId = pm.Attributes["ce-id"]
	pm.PublishTime = eventTime(pm.Attributes["ce-time"])
	return pushed{received: &pubsubpb.ReceivedMessage{Message: pm}}, nil
}

// readStructured parses an event in structured mode. From JSON it takes only what a
// message has a field for; it does not parse other formats.
func readStructured(kind, media string, body []byte) (pushed, error) {
	pm := &pubsubpb.PubsubMessage{Data: body, Attributes: map[string]string{attributeContentType: strings.ToValidUTF8(kind, "\uFFFD")}}
	if strings.HasSuffix(media, "+json") {
		var e struct {
			ID   string          `json:"id"`
			Type string          `json:"type"`
			Time string          `json:"time"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return pushed{}, fmt.Errorf("the body is not a CloudEvent: %w", jsonFault(err))
		}
		if e.ID == "" || e.Type == "" {
			return pushed{}, errors.New("the body is not a CloudEvent: it has no id or no type")
		}
		if e.Type == messagePublished {
			return readWrapped(e.Data)
		}
		pm.MessageId, pm.PublishTime = e.ID, eventTime(e.Time)
	}
	return pushed{received: &pubsubpb.ReceivedMessage{Message: pm}}, nil
}

// eventTime parses an event's time, which is optional.
func eventTime(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil
	}
	return timestamppb.New(t)
}

// percentDecoded removes the encoding by which the HTTP binding represents characters
// other than printable ASCII (3.1.3.2). It returns a value with a malformed encoding
// unchanged.
func percentDecoded(v string) string {
	d, err := url.PathUnescape(v)
	if err != nil || !utf8.ValidString(d) {
		return v
	}
	return d
}
