package sns

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// The types of documents: one that carries a message, and those about subscriptions.
const (
	TypeNotification   = "Notification"
	TypeSubscription   = "SubscriptionConfirmation"
	TypeUnsubscription = "UnsubscribeConfirmation"
)

// traceHeader is the attribute in which the SQS driver passes on the system
// attribute of that name.
const traceHeader = "AWSTraceHeader"

// Document is the JSON that SNS sends: notifications to SQS and HTTP, and the
// confirmations of subscriptions to HTTP only.
type Document struct {
	Type              string
	MessageID         string `json:"MessageId"`
	TopicARN          string `json:"TopicArn"`
	Subject           *string
	Message           *string
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string
	SubscribeURL      string
	Token             string
	MessageAttributes map[string]struct{ Type, Value string }
}

// Fill sets m's body to the notification's Message and its attributes to a copy
// of m's, overlaid by the publisher's and the four of the topic. It returns the
// names of the attributes that it drops, sorted.
func (d *Document) Fill(m *handler.Message) (dropped []string, err error) {
	if d.Message == nil || d.MessageID == "" {
		return nil, errors.New("the notification has no Message or no MessageId")
	}
	as := maps.Clone(m.Attributes)
	if as == nil {
		as = make(map[string]string, len(d.MessageAttributes)+4)
	}
	for name, a := range d.MessageAttributes {
		// A type such as "String.custom" is read as its first part.
		switch kind, _, _ := strings.Cut(a.Type, "."); kind {
		case "String", "Number":
		case "Binary":
			if _, err := base64.StdEncoding.DecodeString(a.Value); err != nil {
				return nil, fmt.Errorf("the attribute %q has type Binary but is not base64: %w", name, err)
			}
		default:
			return nil, fmt.Errorf("the attribute %q has the unknown type %q", name, a.Type)
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("the name of the attribute %q is not UTF-8", name)
		}
		_, queues := as[name]
		if attribute.Reserved(name) || attribute.LookAlike(name) || queues && name == traceHeader {
			dropped = append(dropped, name)
			continue
		}
		as[name] = a.Value
	}
	// The SQS message may carry forgeries too: only this function sets these names.
	if outer := OwnNames(as); len(outer) > 0 {
		as = Without(as, outer)
		dropped = append(dropped, outer...)
	}
	slices.Sort(dropped)
	as[AttributeMessageID], as[AttributeTopic] = d.MessageID, d.TopicARN
	if d.Timestamp != "" {
		as[AttributeTimestamp] = d.Timestamp
	}
	if d.Subject != nil {
		as[AttributeSubject] = *d.Subject
	}
	m.Body, m.Attributes = []byte(*d.Message), as
	return dropped, nil
}
