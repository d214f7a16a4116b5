package sqs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/handler"
)

// A letter that goes to the queue itself is a new message there, at its first attempt: a
// poison message would be handled for ever, as fast as the worker can.
func TestAQueueIsNotItsOwnDeadLetterQueue(t *testing.T) {
	for _, suffix := range []string{"", ".fifo"} {
		s := server(t, nil, suffix)
		name := "orders" + suffix
		u := "awssqs:///" + name + "?region=us-east-1&endpoint=" + s.URL()
		const want = "the queue cannot be its own dead-letter queue"
		for _, dead := range []string{name, s.QueueURL(name), s.QueueARN(name)} {
			_, err := open(t, u, &drivers.Options{DeadLetter: dead})
			require.ErrorIs(t, err, drivers.ErrInvalid, dead)
			require.ErrorContains(t, err, want, dead)
		}
		_, err := open(t, u+"&dead_letter="+name, nil)
		require.ErrorContains(t, err, want)
		_, err = open(t, u+"&dead_letter="+name, &drivers.Options{DeadLetter: "orders-dlq" + suffix})
		require.ErrorContains(t, err, "name one of them")
	}
}

// SQS takes a redrive policy that names the queue itself. Rejections stay with the queue's
// retry then, as without a dead-letter queue.
func TestAPolicyThatNamesTheQueueItselfIsNone(t *testing.T) {
	s, err := sqstest.NewServer(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	api := client(t, s.URL())
	policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": s.QueueARN("orders"), "maxReceiveCount": 3})
	require.NoError(t, err)
	_, err = api.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("orders")})
	require.NoError(t, err)
	_, err = api.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{
		QueueUrl: aws.String(s.QueueURL("orders")), Attributes: map[string]string{"RedrivePolicy": string(policy)},
	})
	require.NoError(t, err)
	_, err = api.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: aws.String(s.QueueURL("orders")), MessageBody: aws.String("poison")})
	require.NoError(t, err)

	var log bytes.Buffer
	src, err := sqs.NewSource(t.Context(), api, s.QueueURL("orders"), &sqs.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, src.Close()) })
	require.False(t, src.Capabilities().DeadLetter)
	require.Contains(t, log.String(), "the queue's redrive policy names the queue itself")

	ds, err := src.Receive(t.Context(), 1, time.Second)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	errs := src.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionDeadLetter,
		Failure: &drivers.Failure{Reason: "bad"}}})
	require.ErrorIs(t, errors.Join(errs...), drivers.ErrUnsupported)
}
