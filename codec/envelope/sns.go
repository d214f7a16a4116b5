package envelope

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
)

// The attributes in which an unwrapped message has the notification's own
// fields. A publisher's attribute of such a name is dropped, and so is one whose
// name reads like it ("SNS_Topic_ARN") or is one of Sluice's own ("sluice-…"). That
// is logged to slog.Default(), at most once a minute.
const (
	AttributeSNSMessageID = "sns-message-id"
	AttributeSNSTimestamp = "sns-timestamp"
	AttributeSNSSubject   = "sns-subject"
	AttributeSNSTopic     = "sns-topic-arn"
)

const (
	typeNotification = "Notification"
	// awsTraceHeader is the attribute in which the SQS driver has the system
	// attribute of that name.
	awsTraceHeader = "AWSTraceHeader"
)

// document is what SNS sends: to SQS, and by HTTPS with more types.
type document struct {
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

// SNS returns the middleware that unwraps notifications of the topics with the
// given ARNs, of which there must be one at least. The handler gets a copy of the
// message: its body is the notification's Message, its attributes those of the
// SQS message with the publisher's over them (String and Number as their text,
// Binary as base64, String.Array as JSON, as the SQS driver has them) and the
// AttributeSNS… ones. ID, attempt and lease stay the queue's. What the queue and
// the framework say of the message (AWSTraceHeader, sluice-…) a publisher's
// attribute does not replace.
//
// What is no notification of one of the topics is rejected and does not reach
// the handler. That includes raw deliveries: for those use [SNSRaw]. SQS messages
// are not signed for the reader's use here: who may send to the queue is up to
// the queue's policy, which should admit the topics only (aws:SourceArn).
func SNS(topicARNs ...string) (handler.Middleware, error) {
	topics, err := declared(topicARNs)
	if err != nil {
		return nil, fmt.Errorf("envelope: SNS: %w", err)
	}
	var dropped attribute.Drops
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			inner, names, err := unwrap(m, topics)
			if err != nil {
				return handler.Reject(fmt.Errorf("message %q: SNS envelope: %w", m.ID, err))
			}
			dropped.Log(nil, shadowed, m.ID, names)
			return next.Handle(ctx, inner)
		})
	}, nil
}

// SNSRaw returns the middleware that declares raw delivery: body and attributes
// are the publisher's already, so that nothing vouches for an attribute called as
// the AttributeSNS… ones are, or like them: the handler gets a copy without those.
// A body that is an SNS notification all the same is
// rejected: the subscription's RawMessageDelivery is off then, and the handler
// would take the envelope for the payload.
func SNSRaw() handler.Middleware {
	var dropped attribute.Drops
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			var d document
			if json.Unmarshal(m.Body, &d) == nil && d.Type == typeNotification && d.MessageID != "" && strings.HasPrefix(d.TopicARN, "arn:") {
				return handler.Reject(fmt.Errorf("message %q: raw delivery is declared, and this is a wrapped notification of %s: set the subscription's RawMessageDelivery, or use envelope.SNS", m.ID, d.TopicARN))
			}
			if vouched := snsNames(m.Attributes); len(vouched) > 0 {
				inner := *m
				inner.Attributes = without(m.Attributes, vouched)
				dropped.Log(nil, shadowed, m.ID, vouched)
				m = &inner
			}
			return next.Handle(ctx, m)
		})
	}
}

// snsNames are the names of attributes that are, or read like, one of SNS's own.
func snsNames(attributes map[string]string) []string {
	var names []string
	for name := range attributes {
		if !strings.HasPrefix(name, "sluice-") && (attribute.Reserved(name) || attribute.LookAlike(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func without(attributes map[string]string, names []string) map[string]string {
	out := maps.Clone(attributes)
	for _, name := range names {
		delete(out, name)
	}
	return out
}

// shadowed is logged of attributes that are dropped.
const shadowed = "SNS: attributes of the publisher are dropped: only the framework sets such names"

func declared(topicARNs []string) ([]string, error) {
	if len(topicARNs) == 0 {
		return nil, errors.New("no topic is declared")
	}
	var faults []error
	for _, arn := range topicARNs {
		if p := strings.Split(arn, ":"); len(p) != 6 || p[0] != "arn" || p[2] != "sns" || p[3] == "" || p[5] == "" {
			faults = append(faults, fmt.Errorf("%q is not the ARN of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME)", arn))
		}
	}
	return slices.Clone(topicARNs), errors.Join(faults...)
}

func unwrap(m *handler.Message, topics []string) (inner *handler.Message, dropped []string, err error) {
	var d document
	if err := json.Unmarshal(m.Body, &d); err != nil {
		return nil, nil, fmt.Errorf("the body is not a notification: %w; if the topic delivers raw, use envelope.SNSRaw", err)
	}
	if d.Type != typeNotification {
		return nil, nil, fmt.Errorf("the body is not a notification: its Type is %q", d.Type)
	}
	if !slices.Contains(topics, d.TopicARN) {
		return nil, nil, fmt.Errorf("the notification is of the topic %q, which is not declared", d.TopicARN)
	}
	of := *m
	dropped, err = d.fill(&of)
	return &of, dropped, err
}

// fill makes m the notification's message; m's attributes are copied. It returns
// the names of the attributes that it drops.
func (d *document) fill(m *handler.Message) (dropped []string, err error) {
	if d.Message == nil || d.MessageID == "" {
		return nil, errors.New("the notification has no Message or no MessageId")
	}
	as := maps.Clone(m.Attributes)
	if as == nil {
		as = make(map[string]string, len(d.MessageAttributes)+4)
	}
	for name, a := range d.MessageAttributes {
		// "String.custom" and the like are what they begin with.
		switch kind, _, _ := strings.Cut(a.Type, "."); kind {
		case "String", "Number":
		case "Binary":
			if _, err := base64.StdEncoding.DecodeString(a.Value); err != nil {
				return nil, fmt.Errorf("the attribute %q is of type Binary and not base64: %w", name, err)
			}
		default:
			return nil, fmt.Errorf("the attribute %q is of the type %q, which SNS does not have", name, a.Type)
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("the name of the attribute %q is not UTF-8", name)
		}
		_, queues := as[name]
		if attribute.Reserved(name) || attribute.LookAlike(name) || queues && name == awsTraceHeader {
			dropped = append(dropped, name)
			continue
		}
		as[name] = a.Value
	}
	// The SQS message's own too: nothing but this sets them.
	if outer := snsNames(as); len(outer) > 0 {
		as = without(as, outer)
		dropped = append(dropped, outer...)
	}
	slices.Sort(dropped)
	as[AttributeSNSMessageID], as[AttributeSNSTopic] = d.MessageID, d.TopicARN
	if d.Timestamp != "" {
		as[AttributeSNSTimestamp] = d.Timestamp
	}
	if d.Subject != nil {
		as[AttributeSNSSubject] = *d.Subject
	}
	m.Body, m.Attributes = []byte(*d.Message), as
	return dropped, nil
}
