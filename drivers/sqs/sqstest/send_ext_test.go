package sqstest_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func stringAttribute(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

func TestSendMessage(t *testing.T) {
	e := inProcess(t, nil)
	standard, fifo, small := e.queue("standard"), e.fifo("fifo.fifo"), e.queue("small", "MaximumMessageSize", "1024")
	big := strings.Repeat("x", 1<<20)
	eleven := map[string]types.MessageAttributeValue{}
	for i := range 11 {
		eleven["a"+strconv.Itoa(i)] = stringAttribute("v")
	}
	group, id := aws.String("g"), aws.String("d")
	const invalid = "InvalidParameterValue"
	tests := []struct {
		name string
		in   sqs.SendMessageInput
		code string
	}{
		{"plain", sqs.SendMessageInput{QueueUrl: standard, MessageBody: aws.String("hello")}, ""},
		{"largest", sqs.SendMessageInput{QueueUrl: standard, MessageBody: &big}, ""},
		{"longest delay", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, DelaySeconds: 900}, ""},
		{"group on a standard queue", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageGroupId: group}, ""},
		{"fifo", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageGroupId: group, MessageDeduplicationId: id}, ""},
		{"size of the queue", sqs.SendMessageInput{QueueUrl: small, MessageBody: aws.String(big[:1024])}, ""},
		{"no body", sqs.SendMessageInput{QueueUrl: standard, MessageBody: aws.String("")}, "MissingParameter"},
		{"bad character", sqs.SendMessageInput{QueueUrl: standard, MessageBody: aws.String("a\x00")}, "InvalidMessageContents"},
		{"too large", sqs.SendMessageInput{QueueUrl: standard, MessageBody: aws.String(big + "x")}, invalid},
		{"too large with its attributes", sqs.SendMessageInput{QueueUrl: standard, MessageBody: &big, MessageAttributes: map[string]types.MessageAttributeValue{"a": stringAttribute("v")}}, invalid},
		{"too large for the queue", sqs.SendMessageInput{QueueUrl: small, MessageBody: aws.String(big[:1025])}, invalid},
		{"delay too long", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, DelaySeconds: 901}, invalid},
		{"delay before now", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, DelaySeconds: -1}, invalid},
		{"delay on fifo", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageGroupId: group, MessageDeduplicationId: id, DelaySeconds: 1}, invalid},
		{"eleven attributes", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageAttributes: eleven}, invalid},
		{"empty attribute", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageAttributes: map[string]types.MessageAttributeValue{"a": stringAttribute("")}}, invalid},
		{"system attribute of SQS's own", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"SenderId": {DataType: aws.String("String"), StringValue: id}}}, invalid},
		{"deduplication on a standard queue", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageDeduplicationId: id}, invalid},
		{"no group", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageDeduplicationId: id}, "MissingParameter"},
		{"no deduplication ID", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageGroupId: group}, invalid},
		{"bad group", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageGroupId: aws.String("a b"), MessageDeduplicationId: id}, invalid},
		{"long group", sqs.SendMessageInput{QueueUrl: standard, MessageBody: id, MessageGroupId: aws.String(strings.Repeat("g", 129))}, invalid},
		{"bad deduplication ID", sqs.SendMessageInput{QueueUrl: fifo, MessageBody: id, MessageGroupId: group, MessageDeduplicationId: aws.String("é")}, invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := e.SendMessage(bg, &tt.in)
			requireCode(t, tt.code, err)
			if tt.code == "" {
				require.NotEmpty(t, *out.MessageId)
				require.Equal(t, tt.in.QueueUrl == fifo, out.SequenceNumber != nil)
			}
		})
	}
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: standard, MessageBody: aws.String("\x01")})
	require.True(t, isType[*types.InvalidMessageContents](err))
}

func TestWhatIsSentIsReceived(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	body := "<é> \"quoted\" \\ \t\r\n & 🚚 \u2028"
	sent, err := e.SendMessage(bg, &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: &body, MessageGroupId: aws.String("tenant"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"text":   stringAttribute("größe\n🚚"),
			"number": {DataType: aws.String("Number.int"), StringValue: aws.String("42")},
			"bytes":  {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 255, '"'}},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		},
	})
	require.NoError(t, err)
	require.NotEmpty(t, *sent.MD5OfMessageSystemAttributes)
	m := e.one(url)
	require.Equal(t, body, *m.Body)
	require.Equal(t, *sent.MessageId, *m.MessageId)
	require.Equal(t, *sent.MD5OfMessageBody, *m.MD5OfBody)
	require.Equal(t, *sent.MD5OfMessageAttributes, *m.MD5OfMessageAttributes)
	require.Equal(t, "größe\n🚚", *m.MessageAttributes["text"].StringValue)
	require.Equal(t, "Number.int", *m.MessageAttributes["number"].DataType)
	require.Equal(t, []byte{0, 255, '"'}, m.MessageAttributes["bytes"].BinaryValue)
	require.Equal(t, "Root=1-5759e988-bd862e3fe1be46a994272793", m.Attributes["AWSTraceHeader"])
	require.Equal(t, "tenant", m.Attributes["MessageGroupId"])
	require.Equal(t, "AKIDTEST", m.Attributes["SenderId"])
	require.Equal(t, "1", m.Attributes["ApproximateReceiveCount"])
	require.NotContains(t, m.Attributes, "SequenceNumber")
	require.NotContains(t, m.Attributes, "DeadLetterQueueSourceArn")
}

func TestSendMessageBatch(t *testing.T) {
	e := inProcess(t, nil)
	standard, fifo := e.queue("standard"), e.fifo("fifo.fifo", "ContentBasedDeduplication", "true")
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	var eleven []types.SendMessageBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, entry(strconv.Itoa(i), "x"))
	}
	half := strings.Repeat("x", 1<<19)
	tests := []struct {
		name    string
		url     *string
		entries []types.SendMessageBatchRequestEntry
		code    string
	}{
		{"ten", standard, eleven[:10], ""},
		{"exactly the limit", standard, []types.SendMessageBatchRequestEntry{entry("a", half), entry("b", half)}, ""},
		{"none", standard, []types.SendMessageBatchRequestEntry{}, "AWS.SimpleQueueService.EmptyBatchRequest"},
		{"eleven", standard, eleven, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		{"same ID twice", standard, []types.SendMessageBatchRequestEntry{entry("a", "x"), entry("a", "y")}, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		{"bad ID", standard, []types.SendMessageBatchRequestEntry{entry("a.b", "x")}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		{"long ID", standard, []types.SendMessageBatchRequestEntry{entry(strings.Repeat("a", 81), "x")}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		{"too long", standard, []types.SendMessageBatchRequestEntry{entry("a", half), entry("b", half+"x")}, "AWS.SimpleQueueService.BatchRequestTooLong"},
		{"no group", fifo, []types.SendMessageBatchRequestEntry{entry("a", "x")}, "InvalidParameterValue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := e.SendMessageBatch(bg, &sqs.SendMessageBatchInput{QueueUrl: tt.url, Entries: tt.entries})
			requireCode(t, tt.code, err)
			if tt.code == "" {
				require.Empty(t, out.Failed)
				require.Len(t, out.Successful, len(tt.entries))
			}
		})
	}
}

func TestBatchFailsInPart(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders", "MaximumMessageSize", "1024")
	out, err := e.SendMessageBatch(bg, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("bad-character"), MessageBody: aws.String("\x00")},
		{Id: aws.String("good-1"), MessageBody: aws.String("one")},
		{Id: aws.String("too-large"), MessageBody: aws.String(strings.Repeat("x", 1025))},
		{Id: aws.String("bad-delay"), MessageBody: aws.String("x"), DelaySeconds: 901},
		{Id: aws.String("empty"), MessageBody: aws.String("")},
		{Id: aws.String("good-2"), MessageBody: aws.String("two"), MessageAttributes: map[string]types.MessageAttributeValue{"a": stringAttribute("v")}},
	}})
	require.NoError(t, err)
	codes := map[string]string{}
	for _, f := range out.Failed {
		require.True(t, f.SenderFault)
		require.NotEmpty(t, *f.Message)
		codes[*f.Id] = *f.Code
	}
	require.Equal(t, map[string]string{
		"bad-character": "InvalidMessageContents", "too-large": "InvalidParameterValue",
		"bad-delay": "InvalidParameterValue", "empty": "MissingParameter",
	}, codes)
	require.Len(t, out.Successful, 2)
	require.Equal(t, "good-1", *out.Successful[0].Id)
	require.Equal(t, "good-2", *out.Successful[1].Id)
	require.NotEmpty(t, *out.Successful[1].MD5OfMessageAttributes)
	got := e.receive(url)
	require.Equal(t, []string{"one", "two"}, bodies(got))
	require.Equal(t, *out.Successful[0].MessageId, *got[0].MessageId)
	require.Equal(t, *out.Successful[1].MessageId, *got[1].MessageId)
}
