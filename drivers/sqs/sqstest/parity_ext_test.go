package sqstest_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

// other is another SQS, with queues of its own.
type other struct {
	c                        *sqs.Client
	name                     string // what its queues' names begin with
	standard, fifo, dlq, src *string
	handle                   *string // of a message that was received and deleted
}

func newOther(t *testing.T, c *sqs.Client, name string) *other {
	t.Helper()
	o := &other{c: c, name: name}
	create := func(n string, attributes ...string) *string {
		out, err := c.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String(name + n), Attributes: pairs(attributes)})
		require.NoError(t, err)
		return out.QueueUrl
	}
	o.standard, o.fifo, o.dlq = create("standard"), create("f.fifo", "FifoQueue", "true"), create("dlq")
	o.src = create("src", "RedrivePolicy", `{"deadLetterTargetArn":"`+o.arn("dlq")+`","maxReceiveCount":1}`)
	_, err := c.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: o.standard, MessageBody: aws.String("x")})
	require.NoError(t, err)
	got, err := c.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: o.standard, WaitTimeSeconds: 5})
	require.NoError(t, err)
	require.Len(t, got.Messages, 1)
	o.handle = got.Messages[0].ReceiptHandle
	_, err = c.DeleteMessage(bg, &sqs.DeleteMessageInput{QueueUrl: o.standard, ReceiptHandle: o.handle})
	require.NoError(t, err)
	return o
}

func (o *other) arn(name string) string { return "arn:aws:sqs:us-east-1:000000000000:" + o.name + name }

func (o *other) create(name string, attributes ...string) error {
	_, err := o.c.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String(o.name + name), Attributes: pairs(attributes)})
	return err
}

func (o *other) send(url *string, f func(*sqs.SendMessageInput)) error {
	in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")}
	f(in)
	_, err := o.c.SendMessage(bg, in)
	return err
}

func (o *other) batch(n int, id func(int) string, size int) error {
	in := &sqs.SendMessageBatchInput{QueueUrl: o.standard, Entries: []types.SendMessageBatchRequestEntry{}}
	for i := range n {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(id(i)), MessageBody: aws.String(strings.Repeat("x", size))})
	}
	_, err := o.c.SendMessageBatch(bg, in)
	return err
}

func (o *other) receive(f func(*sqs.ReceiveMessageInput)) error {
	in := &sqs.ReceiveMessageInput{QueueUrl: o.standard}
	f(in)
	_, err := o.c.ReceiveMessage(bg, in)
	return err
}

func (o *other) attribute(a types.MessageAttributeValue, name string) error {
	return o.send(o.standard, func(in *sqs.SendMessageInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{name: a}
	})
}

func (o *other) start(source, destination string) error {
	in := &sqs.StartMessageMoveTaskInput{SourceArn: &source}
	if destination != "" {
		in.DestinationArn = &destination
	}
	_, err := o.c.StartMessageMoveTask(bg, in)
	return err
}

// TestErrorsAreLocalStacks compares the codes of errors with those of
// LocalStack, whose own tests were checked against AWS.
func TestErrorsAreLocalStacks(t *testing.T) {
	ls := testserver.LocalStack(t)
	e := overHTTP(t, nil)
	name := testserver.Name(t)
	theirs := newOther(t, sqs.New(sqs.Options{
		BaseEndpoint: &ls.URL, Region: "us-east-1", Credentials: key("test"), Retryer: aws.NopRetryer{},
	}), name)
	ours := newOther(t, e.Client, name)
	ids := strconv.Itoa
	tests := map[string]func(*other) error{
		"create: again":               func(o *other) error { return o.create("standard", "VisibilityTimeout", "30") },
		"create: otherwise":           func(o *other) error { return o.create("standard", "VisibilityTimeout", "31") },
		"create: bad name":            func(o *other) error { return o.create("a b") },
		"create: fifo without suffix": func(o *other) error { return o.create("x", "FifoQueue", "true") },
		"create: suffix without fifo": func(o *other) error { return o.create("x.fifo") },
		"create: FifoQueue false":     func(o *other) error { return o.create("x", "FifoQueue", "false") },
		"create: fifo attribute":      func(o *other) error { return o.create("x", "DeduplicationScope", "queue") },
		"create: unknown attribute":   func(o *other) error { return o.create("x", "Colour", "red") },
		"url: nothing there": func(o *other) error {
			_, err := o.c.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String(o.name + "nothing")})
			return err
		},
		"attributes: unknown": func(o *other) error {
			_, err := o.c.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{QueueUrl: o.standard, AttributeNames: []types.QueueAttributeName{"Colour"}})
			return err
		},
		"attributes: no maxReceiveCount": func(o *other) error {
			_, err := o.c.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: o.standard, Attributes: map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + o.arn("dlq") + `"}`}})
			return err
		},
		"attributes: maxReceiveCount 0": func(o *other) error {
			_, err := o.c.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: o.standard, Attributes: map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + o.arn("dlq") + `","maxReceiveCount":0}`}})
			return err
		},
		"send: no body": func(o *other) error {
			return o.send(o.standard, func(in *sqs.SendMessageInput) { in.MessageBody = aws.String("") })
		},
		"send: bad character": func(o *other) error {
			return o.send(o.standard, func(in *sqs.SendMessageInput) { in.MessageBody = aws.String("\x01") })
		},
		"send: too large": func(o *other) error {
			return o.send(o.standard, func(in *sqs.SendMessageInput) { in.MessageBody = aws.String(strings.Repeat("x", 1<<20+1)) })
		},
		"send: dedupe on standard": func(o *other) error {
			return o.send(o.standard, func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") })
		},
		"send: no group": func(o *other) error {
			return o.send(o.fifo, func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") })
		},
		"send: no dedupe ID": func(o *other) error {
			return o.send(o.fifo, func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("g") })
		},
		"send: bad group": func(o *other) error {
			return o.send(o.fifo, func(in *sqs.SendMessageInput) {
				in.MessageGroupId, in.MessageDeduplicationId = aws.String("a b"), aws.String("d")
			})
		},
		"send: delay on fifo": func(o *other) error {
			return o.send(o.fifo, func(in *sqs.SendMessageInput) {
				in.MessageGroupId, in.MessageDeduplicationId, in.DelaySeconds = aws.String("g"), aws.String("d"), 1
			})
		},
		"attribute: empty":       func(o *other) error { return o.attribute(stringAttribute(""), "a") },
		"attribute: bad name":    func(o *other) error { return o.attribute(stringAttribute("v"), "a b") },
		"attribute: period last": func(o *other) error { return o.attribute(stringAttribute("v"), "a.") },
		"attribute: reserved":    func(o *other) error { return o.attribute(stringAttribute("v"), "aws.a") },
		"attribute: bad type": func(o *other) error {
			return o.attribute(types.MessageAttributeValue{DataType: aws.String("Bool"), StringValue: aws.String("v")}, "a")
		},
		"attribute: bad character": func(o *other) error { return o.attribute(stringAttribute("\x01"), "a") },
		"batch: none":              func(o *other) error { return o.batch(0, ids, 1) },
		"batch: eleven":            func(o *other) error { return o.batch(11, ids, 1) },
		"batch: same ID":           func(o *other) error { return o.batch(2, func(int) string { return "a" }, 1) },
		"batch: bad ID":            func(o *other) error { return o.batch(1, func(int) string { return "a b" }, 1) },
		"batch: too long":          func(o *other) error { return o.batch(2, ids, 1<<19+1) },
		"receive: eleven": func(o *other) error {
			return o.receive(func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 })
		},
		"receive: long wait": func(o *other) error { return o.receive(func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 }) },
		"receive: nothing there": func(o *other) error {
			return o.receive(func(in *sqs.ReceiveMessageInput) { in.QueueUrl = aws.String(*o.standard + "x") })
		},
		"delete: forged": func(o *other) error {
			_, err := o.c.DeleteMessage(bg, &sqs.DeleteMessageInput{QueueUrl: o.standard, ReceiptHandle: aws.String("x")})
			return err
		},
		"delete: twice": func(o *other) error {
			_, err := o.c.DeleteMessage(bg, &sqs.DeleteMessageInput{QueueUrl: o.standard, ReceiptHandle: o.handle})
			return err
		},
		"delete: of another queue": func(o *other) error {
			_, err := o.c.DeleteMessage(bg, &sqs.DeleteMessageInput{QueueUrl: o.dlq, ReceiptHandle: o.handle})
			return err
		},
		"change: deleted": func(o *other) error {
			_, err := o.c.ChangeMessageVisibility(bg, &sqs.ChangeMessageVisibilityInput{QueueUrl: o.standard, ReceiptHandle: o.handle, VisibilityTimeout: 1})
			return err
		},
		"change: forged": func(o *other) error {
			_, err := o.c.ChangeMessageVisibility(bg, &sqs.ChangeMessageVisibilityInput{QueueUrl: o.standard, ReceiptHandle: aws.String("x"), VisibilityTimeout: 1})
			return err
		},
		"permission: unknown action": func(o *other) error {
			_, err := o.c.AddPermission(bg, &sqs.AddPermissionInput{QueueUrl: o.standard, Label: aws.String("l"), AWSAccountIds: []string{"111122223333"}, Actions: []string{"Explode"}})
			return err
		},
		"permission: no such label": func(o *other) error {
			_, err := o.c.RemovePermission(bg, &sqs.RemovePermissionInput{QueueUrl: o.standard, Label: aws.String("nothing")})
			return err
		},
		"move: no dead-letter queue": func(o *other) error { return o.start(o.arn("standard"), "") },
		"move: nothing there":        func(o *other) error { return o.start(o.arn("nothing"), "") },
		"move: to nothing":           func(o *other) error { return o.start(o.arn("dlq"), o.arn("nothing")) },
		"move: it is one":            func(o *other) error { return o.start(o.arn("dlq"), o.arn("src")) },
		"cancel: forged": func(o *other) error {
			_, err := o.c.CancelMessageMoveTask(bg, &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("x")})
			return err
		},
		"list moves: nothing there": func(o *other) error {
			_, err := o.c.ListMessageMoveTasks(bg, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(o.arn("nothing"))})
			return err
		},
	}
	require.Greater(t, len(tests), 40)
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			want, got := codeOf(t, do(theirs)), codeOf(t, do(ours))
			require.Equal(t, want, got)
		})
	}
}

func codeOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		require.NoError(t, err)
	}
	// LocalStack leaves out the query protocol's code of some errors, and the
	// SDK then reports the name of the type.
	code := strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
	return strings.TrimSuffix(code, "Exception")
}
