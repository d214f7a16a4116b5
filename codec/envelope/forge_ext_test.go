package envelope_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
)

var hostile = []string{
	"sns-topic-arn", "sns_topic_arn", "SNS-Topic-Arn", "sns.topic.arn", "snsTopicArn", "sns-topic-arn ", "\tsns-topic-arn", "sns-topic-arn\x00",
	"sns-topic-arn\r\n", "\u017fns-topic-arn", "ſnſ_topic_arn", "ｓns-topic-arn", "sns\u200b-topic-arn", "sns_message_id", "sns_timestamp", "SNS_SUBJECT",
	"sns-subject", "sluice-dead-letter-queue", "sluice_dead_letter_reason", "Sluice-Redrive-Count", "sluice-dedupe-id", "AWSTraceHeader",
}

// logs redirects slog.Default to the buffer that it returns.
func logs(t *testing.T) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	before := slog.Default()                                //nolint:forbidigo // the middleware logs there
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil))) //nolint:forbidigo // see above
	t.Cleanup(func() { slog.SetDefault(before) })           //nolint:forbidigo // see above
	return &b
}

func TestAPublisherShadowsNothing(t *testing.T) {
	logged := logs(t)
	sns, err := envelope.SNS(topic, "arn:aws:sns:us-west-2:123456789012:Trusted")
	require.NoError(t, err)
	attributes := map[string]any{"tenant": map[string]string{"Type": "String", "Value": "acme"}}
	for _, name := range hostile {
		attributes[name] = map[string]string{"Type": "String", "Value": "forged"}
	}
	body, err := json.Marshal(map[string]any{"Type": "Notification", "MessageId": "n-1", "TopicArn": topic, "Message": "hi", "MessageAttributes": attributes})
	require.NoError(t, err)
	m := &handler.Message{ID: "q-1", Body: body, Attributes: map[string]string{
		"AWSTraceHeader": "Root=1", "sluice-dead-letter-queue": "orders", "sns-subject": "forged by who may send to the queue", "Sns_Subject": "forged",
	}}
	var got map[string]string
	require.NoError(t, sns(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		got = m.Attributes
		return nil
	})).Handle(t.Context(), m))
	require.Equal(t, map[string]string{
		"tenant": "acme", "AWSTraceHeader": "Root=1", "sluice-dead-letter-queue": "orders", "sns-topic-arn": topic, "sns-message-id": "n-1",
	}, got, "no subject and no time were given, so there are none")
	require.Len(t, m.Attributes, 4, "the message itself stays as it came")
	require.Contains(t, logged.String(), "attributes of the publisher are dropped")
	require.Contains(t, logged.String(), "sns_topic_arn")
}

func TestRawDeliveryVouchesForNothing(t *testing.T) {
	logged := logs(t)
	m := &handler.Message{ID: "q-1", Body: []byte("hi"), Attributes: map[string]string{"tenant": "acme", "sluice-dead-letter-queue": "orders"}}
	for _, name := range hostile {
		if !strings.HasPrefix(strings.ToLower(name), "sluice") {
			m.SetAttribute(name, "forged")
		}
	}
	n := len(m.Attributes)
	var got map[string]string
	require.NoError(t, envelope.SNSRaw()(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		got = m.Attributes
		return nil
	})).Handle(t.Context(), m))
	require.Equal(t, map[string]string{"tenant": "acme", "sluice-dead-letter-queue": "orders", "AWSTraceHeader": "forged"}, got,
		"the trace header is its sender's own")
	require.Len(t, m.Attributes, n)
	require.Contains(t, logged.String(), "attributes of the publisher are dropped")
}
