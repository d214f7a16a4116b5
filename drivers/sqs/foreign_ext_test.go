package sqs_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// exchange receives what is in the queue, prints it and sends messages of its
// own, as programs that know nothing of Sluice do.
const exchange = `
import boto3, json, sys
q = boto3.resource("sqs", endpoint_url=sys.argv[1]).get_queue_by_name(QueueName=sys.argv[2])
got = []
while len(got) < 2:
    for m in q.receive_messages(MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"], MessageAttributeNames=["All"]):
        got.append({"body": m.body, "group": m.attributes.get("MessageGroupId"), "trace": m.attributes.get("AWSTraceHeader"),
                    "attributes": {k: v["StringValue"] for k, v in (m.message_attributes or {}).items()}})
        m.delete()
print(json.dumps(sorted(got, key=lambda m: m["body"])))
q.send_message(MessageBody="héllo", MessageAttributes={
    "text": {"DataType": "String", "StringValue": "v"},
    "number": {"DataType": "Number", "StringValue": "4.50"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    "custom": {"DataType": "String.url", "StringValue": "x://y"},
}, MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}})
`

// letters makes a queue with a dead-letter queue, prints the letters that come to
// it, makes one of its own, and has all moved back, as programs that know nothing
// of Sluice do.
const letters = `
import boto3, json, sys, time
endpoint, name, step = sys.argv[1:]
sqs = boto3.client("sqs", endpoint_url=endpoint)
if step == "make":
    dlq = sqs.create_queue(QueueName=name + "-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})})["QueueUrl"]
    for body in "good", "bad":
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes={"tenant": {"DataType": "String", "StringValue": "t"}})
    sys.exit()
dlq = sqs.get_queue_url(QueueName=name + "-dlq")["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
got = None
for _ in range(30):
    for m in sqs.receive_message(QueueUrl=dlq, WaitTimeSeconds=1, MessageAttributeNames=["All"]).get("Messages", []):
        got = {"body": m["Body"], "attributes": {k: v["StringValue"] for k, v in m["MessageAttributes"].items()}}
        sqs.change_message_visibility(QueueUrl=dlq, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
    if got:
        break
got["serves"] = [u.split("/")[-1] for u in sqs.list_dead_letter_source_queues(QueueUrl=dlq)["queueUrls"]]
sqs.send_message(QueueUrl=dlq, MessageBody="put there by hand")
to = arn.removesuffix("-dlq")
sqs.start_message_move_task(SourceArn=arn, DestinationArn=to)
while sqs.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] == "RUNNING":
    time.sleep(0.1)
print(json.dumps(got))
`

func foreign(t *testing.T, python, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, append([]string{"-c", program}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION=us-east-1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

// Sluice's letters are read, and moved back, by who knows nothing of it, and what
// such a program has made of a queue is good for Sluice.
func TestForeignClientsReadLetters(t *testing.T) {
	t.Parallel()
	python := testserver.Python(t)
	for _, c := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"LocalStack", func(t *testing.T) string { return testserver.LocalStack(t).URL }},
		{"sqstest", func(t *testing.T) string { return server(t, nil, "").URL() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint, name := c.url(t), testserver.Name(t)
			foreign(t, python, letters, endpoint, name, "make")

			src, err := open(t, sqsURL(endpoint, name), nil)
			require.NoError(t, err)
			require.Equal(t, name+"-dlq", src.Capabilities().DeadLetterQueue)
			for _, d := range receive(t, src, 2) {
				s := drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}
				if string(d.Message.Body) == "bad" {
					s.Action, s.Failure = handler.ActionDeadLetter, &drivers.Failure{Reason: "out of paper", Consumer: "printer"}
				}
				require.NoError(t, errors.Join(src.Settle(t.Context(), []drivers.Settlement{s})...))
			}

			var got struct {
				Body       string
				Attributes map[string]string
				Serves     []string
			}
			out := foreign(t, python, letters, endpoint, name, "move")
			require.NoError(t, json.Unmarshal(out, &got), string(out))
			require.Equal(t, "bad", got.Body)
			require.Equal(t, []string{name}, got.Serves)
			require.Equal(t, "t", got.Attributes["tenant"])
			require.Equal(t, "out of paper", got.Attributes[drivers.AttributeDeadLetterReason])
			require.Equal(t, "printer", got.Attributes[drivers.AttributeDeadLetterConsumer])
			require.Equal(t, name, got.Attributes[drivers.AttributeDeadLetterQueue])
			require.Equal(t, "1", got.Attributes[drivers.AttributeDeadLetterAttempt])

			var back []string
			for _, d := range receive(t, src, 2) {
				back = append(back, string(d.Message.Body))
				if c.name != "LocalStack" { // whose move tasks do not begin to count anew, as SQS's do
					require.Equal(t, 1, d.Message.Attempt)
				}
			}
			require.ElementsMatch(t, []string{"bad", "put there by hand"}, back)
		})
	}
}

func TestForeignClientsReadAndWrite(t *testing.T) {
	t.Parallel()
	python := testserver.Python(t)
	for _, c := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"LocalStack", func(t *testing.T) string { return testserver.LocalStack(t).URL }},
		{"ElasticMQ", func(t *testing.T) string { return testserver.ElasticMQ(t).URL }},
		{"sqstest", func(t *testing.T) string { return server(t, nil, "").URL() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint := c.url(t)
			name := queue(t, endpoint)
			send(t, endpoint, name,
				&handler.Message{Body: []byte(`{"id": 1}`), Group: "tenant-7", DedupeID: "order-1", Attributes: map[string]string{
					"tenant": "t", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
				}},
				&handler.Message{Body: []byte{0, 255}, Attributes: map[string]string{"ключ": "v"}},
			)

			out := foreign(t, python, exchange, endpoint, name)
			var got []struct {
				Body, Group, Trace string
				Attributes         map[string]string
			}
			require.NoError(t, json.Unmarshal(out, &got), string(out))
			require.Equal(t, "AP8=", got[0].Body)
			require.Regexp(t, "^sluice-id-", got[0].Attributes["sluice-dedupe-id"])
			delete(got[0].Attributes, "sluice-dedupe-id")
			require.Equal(t, map[string]string{"sluice-body": "base64", "sluice-more": `{"text":{"ключ":"v"}}`}, got[0].Attributes)
			require.JSONEq(t, `{"id": 1}`, got[1].Body)
			require.Equal(t, "tenant-7", got[1].Group)
			require.Equal(t, "Root=1-5759e988-bd862e3fe1be46a994272793", got[1].Trace)
			require.Equal(t, map[string]string{"tenant": "t", "sluice-dedupe-id": "order-1"}, got[1].Attributes)

			src, err := open(t, sqsURL(endpoint, name), nil)
			require.NoError(t, err)
			m := receive(t, src, 1)[0].Message
			require.Equal(t, "héllo", string(m.Body))
			require.Equal(t, map[string]string{
				"text": "v", "number": "4.50", "bytes": "AP8=", "custom": "x://y", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
			}, m.Attributes)
		})
	}
}
