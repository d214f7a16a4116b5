package envelope

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/sns"
)

// SNS returns a middleware that unwraps notifications of the topics with the
// given ARNs, at least one. The handler receives a copy of the message. The
// copy's body is the notification's Message. Its attributes are those of the SQS
// message, overlaid by the publisher's (String and Number as their text, Binary as
// base64, String.Array as JSON, like the SQS driver) and by the notification's own:
//
//	sns-message-id   its MessageId
//	sns-topic-arn    its TopicArn
//	sns-timestamp    its Timestamp, if it has one
//	sns-subject      its Subject, if it has one
//
// ID, attempt and lease remain the queue's. A publisher's attribute of such a name is
// dropped, as is one whose name reads like it ("SNS_Topic_ARN") or that the queue or
// the framework sets (AWSTraceHeader, sluice-…). The drop is logged to
// slog.Default(), at most once a minute.
//
// Any other message is rejected and does not reach the handler. That includes
// raw deliveries: use [SNSRaw] for them. The signature in a notification is not
// verified here. The queue's policy decides who may send to the queue, and should
// admit the topics only (aws:SourceArn).
func SNS(topicARNs ...string) (handler.Middleware, error) {
	topics, err := sns.Topics(topicARNs)
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
			dropped.Log(nil, sns.Shadowed, m.ID, names)
			return next.Handle(ctx, inner)
		})
	}, nil
}

// SNSRaw returns a middleware that declares raw delivery: body and attributes
// are already the publisher's. Nothing vouches for an attribute whose name is, or
// reads like, one that [SNS] sets, so the handler receives a copy
// without them. A body that is an SNS notification nevertheless is rejected: the
// subscription's RawMessageDelivery is off, and the handler would mistake the
// envelope for the payload.
func SNSRaw() handler.Middleware {
	var dropped attribute.Drops
	return func(next handler.Handler) handler.Handler {
		return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			var d sns.Document
			if json.Unmarshal(m.Body, &d) == nil && d.Type == sns.TypeNotification && d.MessageID != "" && strings.HasPrefix(d.TopicARN, "arn:") {
				return handler.Reject(fmt.Errorf("message %q: raw delivery is declared, but this is a wrapped notification of %s: set the subscription's RawMessageDelivery, or use envelope.SNS", m.ID, d.TopicARN))
			}
			if names := sns.OwnNames(m.Attributes); len(names) > 0 {
				inner := *m
				inner.Attributes = sns.Without(m.Attributes, names)
				dropped.Log(nil, sns.Shadowed, m.ID, names)
				m = &inner
			}
			return next.Handle(ctx, m)
		})
	}
}

func unwrap(m *handler.Message, topics []string) (inner *handler.Message, dropped []string, err error) {
	var d sns.Document
	if err := json.Unmarshal(m.Body, &d); err != nil {
		return nil, nil, fmt.Errorf("the body is not a notification: %w; if the topic delivers raw, use envelope.SNSRaw", err)
	}
	if d.Type != sns.TypeNotification {
		return nil, nil, fmt.Errorf("the body is not a notification: its Type is %q", d.Type)
	}
	if !slices.Contains(topics, d.TopicARN) {
		return nil, nil, fmt.Errorf("the notification is from the topic %q, which is not declared", d.TopicARN)
	}
	of := *m
	dropped, err = d.Fill(&of)
	return &of, dropped, err
}
