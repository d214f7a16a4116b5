package sqs_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
)

// The rules of messages as SQS documents them. The driver and sqstest both state
// them in code; here the documents decide for each of the two.
const (
	attributeItems = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html"
	sendMessage    = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"
	messageQuotas  = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"
)

func TestDocumentedRulesOfMessages(t *testing.T) { synctest.Test(t, documentedRules) }

func documentedRules(t *testing.T) {
	v := newVirtual(t)
	named := func(name string) *awssqs.SendMessageInput {
		return &awssqs.SendMessageInput{MessageBody: aws.String("x"), MessageAttributes: typed{name: str("String", "v")}}
	}
	body := func(s string) *awssqs.SendMessageInput { return &awssqs.SendMessageInput{MessageBody: &s} }
	many := func(n int) *awssqs.SendMessageInput {
		return &awssqs.SendMessageInput{MessageBody: aws.String("x"), MessageAttributes: typed{}.filled(n)}
	}
	grouped := func(s string) *awssqs.SendMessageInput {
		return &awssqs.SendMessageInput{MessageBody: aws.String("x"), MessageGroupId: &s}
	}
	delayed := func(n int32) *awssqs.SendMessageInput {
		return &awssqs.SendMessageInput{MessageBody: aws.String("x"), DelaySeconds: n}
	}
	for i, c := range []struct {
		rule, source string
		in           *awssqs.SendMessageInput
		taken        bool // by the service
		encoded      bool // by the driver, since the service doesn't take it
	}{
		{"a name has A-Z, a-z, 0-9, underscore, hyphen and period", attributeItems, named("Aa0_-.z"), true, false},
		{"a name has A-Z, a-z, 0-9, underscore, hyphen and period", attributeItems, named("a b"), false, true},
		{"a name has A-Z, a-z, 0-9, underscore, hyphen and period", attributeItems, named("a:b"), false, true},
		{"a name can't start or end with a period", attributeItems, named(".a"), false, true},
		{"a name can't start or end with a period", attributeItems, named("a."), false, true},
		{"a name can't have periods in succession", attributeItems, named("a..b"), false, true},
		{"a name can't start with AWS., in any casing", attributeItems, named("AWS.a"), false, true},
		{"a name can't start with AWS., in any casing", attributeItems, named("aws.a"), false, true},
		{"a name can't start with Amazon., in any casing", attributeItems, named("Amazon.a"), false, true},
		{"a name can't start with Amazon., in any casing", attributeItems, named("aMaZoN.a"), false, true},
		{"AWS without a period is nothing special", attributeItems, named("awsome"), true, false},
		{"a name has up to 256 characters", attributeItems, named(strings.Repeat("n", 256)), true, false},
		{"a name has up to 256 characters", attributeItems, named(strings.Repeat("n", 257)), false, true},
		{"up to 10 attributes a message", messageQuotas, many(9), true, false},
		{"up to 10 attributes a message", messageQuotas, many(11), false, true},
		{"a body has at least one character", sendMessage, body(""), false, true},
		{"a body has tab, line feed and carriage return", sendMessage, body("\t\n\r"), true, false},
		{"a body has no other control character", sendMessage, body("a\x01"), false, true},
		{"a body has #x20 to #xD7FF and #xE000 to #xFFFD", sendMessage, body(" \ud7ff\ue000\ufffd"), true, false},
		{"a body has no #xFFFE", sendMessage, body("\ufffe"), false, true},
		{"a body has #x10000 to #x10FFFF", sendMessage, body("\U00010000\U0010ffff"), true, false},
		{"a message has up to 1 MiB", messageQuotas, body(strings.Repeat("x", 1<<20)), true, false},
		{"a message has up to 1 MiB", messageQuotas, body(strings.Repeat("x", 1<<20+1)), false, false},
		{"a group ID has up to 128 characters", sendMessage, grouped(strings.Repeat("g", 128)), true, false},
		{"a group ID has up to 128 characters", sendMessage, grouped(strings.Repeat("g", 129)), false, true},
		{"a group ID has alphanumeric characters and punctuation", sendMessage, grouped("aZ9!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), true, false},
		{"a group ID has no space", sendMessage, grouped("a b"), false, true},
		{"a group ID has no other letters", sendMessage, grouped("é"), false, true},
		{"a delay is 0 to 900 seconds", sendMessage, delayed(900), true, false},
		{"a delay is 0 to 900 seconds", sendMessage, delayed(901), false, false},
	} {
		about := fmt.Sprintf("%s (%s): case %d", c.rule, c.source, i)
		q := v.create(fmt.Sprint("fake-", i), map[string]string{"MaximumMessageSize": "1048576"})
		in := *c.in
		in.QueueUrl = &q
		_, err := v.client.SendMessage(t.Context(), &in)
		require.Equal(t, c.taken, err == nil, "sqstest: %s: %v", about, err)

		// The driver sends what SQS takes as it is. Of the rest it sends what it can
		// encode, and refuses the others itself.
		own := v.create(fmt.Sprint("driver-", i), map[string]string{"MaximumMessageSize": "1048576"})
		sink, err := sqs.NewSink(t.Context(), v.client, own)
		require.NoError(t, err)
		m := &handler.Message{Body: []byte(*in.MessageBody), Group: aws.ToString(in.MessageGroupId), Delay: time.Duration(in.DelaySeconds) * time.Second}
		for name, value := range in.MessageAttributes {
			m.SetAttribute(name, *value.StringValue)
		}
		want := maps.Clone(m.Attributes)
		if err := errors.Join(sink.Send(t.Context(), []*handler.Message{m})...); err != nil {
			require.ErrorIs(t, err, drivers.ErrInvalid, about)
			require.False(t, c.taken || c.encoded, "the driver refuses what it can send: %s: %v", about, err)
			continue
		}
		require.True(t, c.taken || c.encoded, "the driver sends what SQS refuses: %s", about)
		<-time.After(m.Delay)
		out, err := v.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: &own, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1, about)
		got := out.Messages[0]
		require.Equal(t, c.taken, len(theirs(got.MessageAttributes)) == len(want) && *got.Body == *in.MessageBody &&
			got.Attributes["MessageGroupId"] == m.Group, "the driver: %s", about)
		src, err := sqs.NewSource(t.Context(), v.client, own, nil)
		require.NoError(t, err)
		<-time.After(time.Minute)
		back := take1(t, src).Message
		require.Equal(t, want, back.Attributes, about)
		require.Equal(t, *in.MessageBody, string(back.Body), about)
		require.Equal(t, m.Group, back.Group, about)
	}
}
