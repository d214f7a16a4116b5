package main

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"gocloud.dev/pubsub/awssnssqs"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// senders is how many goroutines send.
const senders = 32

// The names of the case and of peers that targets name.
const (
	sqsSend    = "sqs-send/32"
	sluiceTen  = sluice + ", 10 a call"
	rawMany    = "raw SDK, 10 a call"
	rawSingle  = "raw SDK, 1 a call"
	gocloudSQS = "gocloud awssnssqs"

	// rawFew has as many messages under way as 32 callers that each wait for one.
	rawFew = "raw SDK, 10 a call, as many under way: 3 goroutines"
	// Marked messages have an attribute, as Sluice's have their identity.
	rawFewMarked = rawFew + ", with an attribute"
	rawMarked    = rawMany + ", with an attribute"
)

func sqsSendCases() []experiment {
	return []experiment{{
		id: sqsSend, title: "SQS send, 32 goroutines", open: startSQS, times: moreTimes,
		peers: []peer{
			{sluice, sendSQS(sendSluiceSQS(senders, 1))},
			{rawFew, sendSQS(sendRawBatch(senders/10, false))},
			{sluice + ", 320 goroutines", sendSQS(sendSluiceSQS(10*senders, 1))},
			{sluiceTen, sendSQS(sendSluiceSQS(senders, 10))},
			{rawMany, sendSQS(sendRawBatch(senders, false))},
			{rawMarked, sendSQS(sendRawBatch(senders, true))},
			{rawFewMarked, sendSQS(sendRawBatch(senders/10, true))},
			{rawSingle, sendSQS(sendRawSingle)},
			{gocloudSQS, sendSQS(func(ctx context.Context, q *queue, n int) error {
				topic := awssnssqs.OpenSQSTopic(ctx, q.api, q.url, nil)
				return errors.Join(sendGocloud(ctx, topic, n, senders), topic.Shutdown(ctx))
			})},
		},
	}}
}

func sendSQS(send func(ctx context.Context, q *queue, n int) error) func(context.Context, *env) (sample, error) {
	return func(ctx context.Context, e *env) (s sample, err error) {
		q, err := newQueue(ctx, e)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, q.close(ctx)) }()
		m, err := begin(q.counts)
		if err != nil {
			return nil, err
		}
		if err := send(ctx, q, e.sizes.messages); err != nil {
			return nil, err
		}
		return m.end(e.sizes.messages)
	}
}

// sendSluiceSQS sends a few messages a call. Each caller waits for the answer.
func sendSluiceSQS(callers, call int) func(ctx context.Context, q *queue, n int) error {
	return func(ctx context.Context, q *queue, n int) error {
		sink, err := q.opener().OpenSink(ctx, q.address(), nil)
		if err != nil {
			return err
		}
		return sendSluice(ctx, sink, callers, n, call)
	}
}

func sendSluice(ctx context.Context, sink drivers.Sink, callers, n, call int) error {
	p, err := producer.New(sink, nil)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), bodySize)
	err = split(callers, n, func(n int) error {
		for n > 0 {
			ms := make([]*handler.Message, min(call, n))
			for i := range ms {
				ms[i] = &handler.Message{Body: body}
			}
			if err := p.Send(ctx, ms...); err != nil {
				return err
			}
			n -= len(ms)
		}
		return nil
	})
	return errors.Join(err, p.Close())
}

// sendRawBatch has each goroutine send batches of ten that it has at hand, with an
// attribute as long as Sluice's identity if they are marked.
func sendRawBatch(goroutines int, marked bool) func(ctx context.Context, q *queue, n int) error {
	return func(ctx context.Context, q *queue, n int) error {
		body := strings.Repeat("x", bodySize)
		return split(goroutines, n, func(n int) error {
			for n > 0 {
				es := make([]types.SendMessageBatchRequestEntry, min(n, 10))
				for i := range es {
					es[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
					if marked {
						es[i].MessageAttributes = map[string]types.MessageAttributeValue{
							"identity-of-this": {DataType: aws.String("String"), StringValue: aws.String("identity-" + strconv.Itoa(1e8+n) + "-abcdefghijklmnopqr")},
						}
					}
				}
				if _, err := q.api.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: es}); err != nil {
					return err
				}
				n -= len(es)
			}
			return nil
		})
	}
}

// sendRawSingle has each goroutine send the one message that it has at hand,
// which is what Sluice's callers do.
func sendRawSingle(ctx context.Context, q *queue, n int) error {
	body := strings.Repeat("x", bodySize)
	return split(senders, n, func(n int) error {
		for range n {
			if _, err := q.api.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body}); err != nil {
				return err
			}
		}
		return nil
	})
}
