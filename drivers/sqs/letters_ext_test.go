package sqs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A letter is sent before its message is deleted, and not again when only the
// deletion failed.
func TestRejectedMessageIsSentOnceAndThenDeleted(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	m := &handler.Message{ID: "m1", Body: []byte("poison"), Attributes: map[string]string{"tenant": "t"}, Attempt: 3, DedupeID: "d"}
	rejection := []drivers.Settlement{{Receipt: "r1", Message: m, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "bad", Consumer: "me"}}}

	s.send = func(*awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
		return nil, &types.RequestThrottled{}
	}
	require.ErrorIs(t, src.Settle(t.Context(), rejection)[0], drivers.ErrThrottled)
	require.Equal(t, []string{"SendMessageBatch"}, s.requests(), "what was not sent must not be deleted")

	s.send = nil
	s.delete = func(*awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
		return nil, &types.RequestThrottled{}
	}
	require.ErrorIs(t, src.Settle(t.Context(), rejection)[0], drivers.ErrThrottled)
	require.Equal(t, []string{"SendMessageBatch", "DeleteMessageBatch"}, s.requests())

	s.delete = nil
	require.Nil(t, src.Settle(t.Context(), rejection))
	require.Equal(t, []string{"DeleteMessageBatch"}, s.requests(), "the letter is there already")

	letter := s.sent[len(s.sent)-1]
	require.Equal(t, queueURL+"-dlq", *letter.QueueUrl)
	value := func(name string) string { return *letter.Entries[0].MessageAttributes[name].StringValue }
	require.Equal(t, "poison", *letter.Entries[0].MessageBody)
	require.Equal(t, "t", value("tenant"))
	require.Equal(t, "d", value("sluice-dedupe-id"))
	require.Equal(t, "bad", value(drivers.AttributeDeadLetterReason))
	require.Equal(t, "3", value(drivers.AttributeDeadLetterAttempt))
	require.Equal(t, "orders", value(drivers.AttributeDeadLetterQueue))
	require.Equal(t, map[string]string{"tenant": "t"}, m.Attributes, "the caller's message was changed")

	require.Nil(t, src.Settle(t.Context(), rejection))
	require.Equal(t, []string{"SendMessageBatch", "DeleteMessageBatch"}, s.requests(), "another delivery of the receipt is another rejection")
}

func TestLettersOfFIFOQueueAreDeduplicated(t *testing.T) {
	s := newFIFOStub()
	src := openSource(t, s, nil)
	m := &handler.Message{ID: "m1", Body: []byte("poison"), Group: "g", DedupeID: "order-1"}
	for _, receipt := range []string{"r1", "r2"} { // two deliveries of one message
		require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: receipt, Message: m, Action: handler.ActionDeadLetter}}))
	}
	first, second := s.sent[0].Entries[0], s.sent[1].Entries[0]
	require.Equal(t, *first.MessageDeduplicationId, *second.MessageDeduplicationId)
	require.Equal(t, "g", *first.MessageGroupId)
	require.Equal(t, "order-1", *first.MessageAttributes["sluice-dedupe-id"].StringValue)
}

// A letter at the limit of the size loses what is known of the failure rather
// than be stuck.
func TestLetterThatIsTooLongIsSentWithLess(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	reason := strings.Repeat("because ", 100)
	send := func(body int) types.SendMessageBatchRequestEntry {
		m := &handler.Message{ID: "m", Body: []byte(strings.Repeat("x", body)), Attempt: 1}
		require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: "r", Message: m, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: reason}}}))
		return s.sent[len(s.sent)-1].Entries[0]
	}
	require.Equal(t, reason, *send(1000).MessageAttributes[drivers.AttributeDeadLetterReason].StringValue)
	require.Len(t, *send(256<<10 - 500).MessageAttributes[drivers.AttributeDeadLetterReason].StringValue, 64)
	require.NotContains(t, send(256<<10-160).MessageAttributes, drivers.AttributeDeadLetterReason)
	require.Equal(t, "m", *send(256<<10 - 160).MessageAttributes["sluice-dedupe-id"].StringValue, "a letter's message was known by its ID")
	require.Empty(t, send(256<<10).MessageAttributes)
}

func TestFailureIsPackedWhereThereIsNoRoom(t *testing.T) {
	s := newStub()
	src := openSource(t, s, nil)
	m := &handler.Message{ID: "m", Body: []byte("x"), Attempt: 1}
	for i := range 9 {
		m.SetAttribute(fmt.Sprint("a", i), "v")
	}
	require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{{Receipt: "r", Message: m, Action: handler.ActionDeadLetter, Failure: &drivers.Failure{Reason: "bad"}}}))
	attributes := s.sent[0].Entries[0].MessageAttributes
	require.Len(t, attributes, 10)
	var packed struct{ Text, Own map[string]string }
	require.NoError(t, json.Unmarshal([]byte(*attributes["sluice-more"].StringValue), &packed))
	require.JSONEq(t, `{"reason":"bad","attempt":1,"queue":"orders"}`, packed.Text[drivers.AttributeDeadLetter])
	require.Equal(t, map[string]string{"sluice-dedupe-id": "m"}, packed.Own)
}
