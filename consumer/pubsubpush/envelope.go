package pubsubpush

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A pushed is a delivery that was parsed from a request.
type pushed struct {
	received     *pubsubpb.ReceivedMessage
	subscription string // empty if the request does not name it
}

// An envelope is the body of a wrapped push.
type envelope struct {
	Message *struct {
		Data        []byte            `json:"data"`
		Attributes  map[string]string `json:"attributes"`
		MessageID   string            `json:"messageId"`
		PublishTime string            `json:"publishTime"`
		OrderingKey string            `json:"orderingKey"`
	} `json:"message"`
	Subscription string `json:"subscription"`
	// DeliveryAttempt is set if the subscription has a dead-letter policy.
	DeliveryAttempt int32 `json:"deliveryAttempt"`
}

// readWrapped parses the envelope of a wrapped push.
func readWrapped(body []byte) (pushed, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return pushed{}, fmt.Errorf("the body is not a push envelope: %w", jsonFault(err))
	}
	m := e.Message
	if m == nil {
		return pushed{}, errors.New("the body is not a push envelope: it has no message; is payload unwrapping on?")
	}
	if m.MessageID == "" {
		return pushed{}, errors.New("the body is not a push envelope: the message has no messageId")
	}
	pm := &pubsubpb.PubsubMessage{Data: m.Data, Attributes: m.Attributes, MessageId: m.MessageID, OrderingKey: m.OrderingKey}
	var err error
	if pm.PublishTime, err = publishTime(m.PublishTime); err != nil {
		return pushed{}, err
	}
	return pushed{
		received:     &pubsubpb.ReceivedMessage{Message: pm, DeliveryAttempt: max(e.DeliveryAttempt, 0)},
		subscription: e.Subscription,
	}, nil
}

// jsonFault returns an error for a document that quotes nothing of it: the text of an
// UnmarshalTypeError may contain the value.
func jsonFault(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s has the wrong type", kind.Field)
	default:
		return errors.New("a value in it cannot be decoded")
	}
}

// publishTime parses a time of the service. An empty one is nil.
func publishTime(s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, errors.New("the publish time is not in the format of RFC 3339")
	}
	return timestamppb.New(t), nil
}
