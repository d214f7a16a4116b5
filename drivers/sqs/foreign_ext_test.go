package sqs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/testserver"
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

func TestForeignClientsReadAndWrite(t *testing.T) {
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
			endpoint := c.url(t)
			name := queue(t, endpoint)
			send(t, endpoint, name,
				&handler.Message{Body: []byte(`{"id": 1}`), Group: "tenant-7", DedupeID: "order-1", Attributes: map[string]string{
					"tenant": "t", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
				}},
				&handler.Message{Body: []byte{0, 255}, Attributes: map[string]string{"ключ": "v"}},
			)

			cmd := exec.CommandContext(t.Context(), python, "-c", exchange, endpoint, name)
			cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION=us-east-1")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			require.NoError(t, err)
			var got []struct {
				Body, Group, Trace string
				Attributes         map[string]string
			}
			require.NoError(t, json.Unmarshal(out, &got), string(out))
			require.Equal(t, "AP8=", got[0].Body)
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
