package claimcheck_test

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	_ "gocloud.dev/blob/s3blob" // as a program links it

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/producer"
)

// aws is a bucket and a queue on LocalStack.
type aws struct {
	endpoint      string
	bucket, queue string
	blob          claimcheck.Bucket
	mux           *drivers.Mux
}

func newAWS(t *testing.T) *aws {
	t.Helper()
	a := &aws{
		endpoint: testserver.LocalStack(t, "sqs", "s3").URL,
		bucket:   strings.ReplaceAll(testserver.Name(t), "_", "-"), queue: testserver.Name(t),
		mux: drivers.NewMux(&sqs.Opener{}),
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithBaseEndpoint(a.endpoint))
	require.NoError(t, err)
	_, err = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &a.bucket})
	require.NoError(t, err)
	_, err = awssqs.NewFromConfig(cfg).CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &a.queue})
	require.NoError(t, err)
	a.blob = a.open(t, a.bucket)
	return a
}

func (a *aws) open(t *testing.T, bucket string) claimcheck.Bucket {
	t.Helper()
	b, err := claimcheck.OpenBucket(t.Context(), "s3://"+bucket+"?region=us-east-1&use_path_style=true&endpoint="+url.QueryEscape(a.endpoint))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Blob.Close()) })
	require.Equal(t, claimcheck.S3, b.Format)
	require.Equal(t, bucket, b.Name)
	return b
}

func (a *aws) url() string { return "awssqs:///" + a.queue + "?endpoint=" + a.endpoint }

func (a *aws) send(t *testing.T, check *claimcheck.Check, ms ...*handler.Message) {
	t.Helper()
	sink, err := a.mux.OpenSink(t.Context(), a.url(), nil)
	require.NoError(t, err)
	p, err := producer.New(sink, &producer.Config{Prepare: []func(context.Context, *handler.Message) error{check.Prepare}})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, p.Send(t.Context(), ms...))
}

func (a *aws) receive(t *testing.T) *handler.Message {
	t.Helper()
	source, err := a.mux.OpenSource(t.Context(), a.url(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	var ds []drivers.Delivery
	require.Eventually(t, func() bool {
		ds, err = source.Receive(t.Context(), 1, time.Second)
		return err == nil && len(ds) == 1
	}, time.Minute, time.Millisecond)
	require.Nil(t, source.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Action: handler.ActionAck}}))
	return ds[0].Message
}

func TestAMessageAboveTheQueuesLimitGoesThroughS3(t *testing.T) {
	a := newAWS(t)
	a.blob.Prefix = "in/"
	sink, err := a.mux.OpenSink(t.Context(), a.url(), nil)
	require.NoError(t, err)
	limit := sink.Capabilities().MaxMessageBytes
	p, err := producer.New(sink, nil)
	require.NoError(t, err)
	large := &handler.Message{Body: body(limit + 1), Attributes: map[string]string{"tenant": "t"}}
	require.ErrorContains(t, p.Send(t.Context(), large), "claimcheck", "the way out is named")
	require.NoError(t, p.Close())

	check := newCheck(t, a.blob, nil)
	a.send(t, check, large)
	got := a.receive(t)
	require.Regexp(t, `^\["software\.amazon\.payloadoffloading\.PayloadS3Pointer",\{"s3BucketName":"`+a.bucket+`","s3Key":"in/[A-Z2-7]{26}"\}\]$`, string(got.Body))
	var h handled
	require.NoError(t, check.Middleware(&h).Handle(t.Context(), got))
	require.Equal(t, large.Body, h.messages[0].Body)
	require.Equal(t, large.Attributes, h.messages[0].Attributes)
	require.NoError(t, check.Stream(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		r, err := claimcheck.Open(ctx, m)
		require.NoError(t, err)
		all, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, large.Body, all)
		return r.Close()
	})).Handle(t.Context(), got))

	deleter, err := claimcheck.NewDeleter(check, nil)
	require.NoError(t, err)
	deleter.Observe(handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck, Message: got})
	require.NoError(t, deleter.Close())
	require.Empty(t, keys(t, a.blob))
	err = check.Middleware(&h).Handle(t.Context(), got)
	require.ErrorIs(t, err, claimcheck.ErrLost)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)

	none := a.open(t, "no-such-"+a.bucket)
	err = newCheck(t, none, nil).Middleware(&h).Handle(t.Context(), s3Pointer(none.Name, "k"))
	require.ErrorContains(t, err, "the bucket is not there")
	require.False(t, handler.VerdictOf(err).Postponed, "it may never be there")
	require.Equal(t, backoff.Transient, backoff.Classify(err), "the backoff middleware must not dead-letter it")
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
}

// exchange receives with Amazon's own client what Sluice has sent, and sends
// what Sluice is to receive.
const exchange = `
import boto3, json, sys
import sqs_extended_client
sqs = boto3.client("sqs")
sqs.large_payload_support = sys.argv[2]
sqs.s3_client = boto3.client("s3", config=boto3.session.Config(s3={"addressing_style": "path"}))
sqs.delete_payload_from_s3 = True
url = sqs.get_queue_url(QueueName=sys.argv[1])["QueueUrl"]
got = []
while len(got) < 2:
    for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]).get("Messages", []):
        got.append({"body": m["Body"], "attributes": sorted(m.get("MessageAttributes") or {})})
        sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
print(json.dumps(sorted(got, key=lambda m: m["body"])))
sqs.always_through_s3 = True
sqs.use_legacy_attribute = sys.argv[3] == "legacy"
sqs.send_message(QueueUrl=url, MessageBody="héllo", MessageAttributes={"tenant": {"DataType": "String", "StringValue": "t"}})
`

func TestAmazonsExtendedClientReadsAndWrites(t *testing.T) {
	python := testserver.ExtendedClient(t)
	for _, which := range []string{"new", "legacy"} {
		t.Run(which, func(t *testing.T) {
			a := newAWS(t)
			check := newCheck(t, a.blob, &claimcheck.Config{Threshold: 1000, Legacy: which == "legacy"})
			a.send(t, check,
				&handler.Message{Body: []byte("é" + strings.Repeat("x", 2000)), Attributes: map[string]string{"tenant": "t"}},
				&handler.Message{Body: []byte("small")})
			require.Len(t, keys(t, a.blob), 1)

			cmd := exec.CommandContext(t.Context(), python, "-c", exchange, a.queue, a.bucket, which)
			cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION=us-east-1", "AWS_ENDPOINT_URL="+a.endpoint)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			require.NoError(t, err)
			var got []struct {
				Body       string
				Attributes []string
			}
			require.NoError(t, json.Unmarshal(out, &got), string(out))
			require.Len(t, got, 2)
			require.Equal(t, "small", got[0].Body)
			require.Equal(t, "é"+strings.Repeat("x", 2000), got[1].Body)
			require.ElementsMatch(t, []string{"sluice-dedupe-id", "tenant"}, got[1].Attributes)

			m := a.receive(t)
			found := keys(t, a.blob)
			require.Len(t, found, 1, "it has deleted the other")
			class, size := "software.amazon.payloadoffloading.PayloadS3Pointer", "ExtendedPayloadSize"
			if which == "legacy" {
				class, size = "com.amazon.sqs.javamessaging.MessageS3Pointer", "SQSLargePayloadSize"
			}
			require.Equal(t, `["`+class+`", {"s3BucketName": "`+a.bucket+`", "s3Key": "`+found[0]+`"}]`, string(m.Body))
			require.Equal(t, map[string]string{"tenant": "t", size: "6"}, m.Attributes)
			var h handled
			require.NoError(t, check.Middleware(&h).Handle(t.Context(), m))
			require.Equal(t, "héllo", string(h.messages[0].Body))
			require.Equal(t, map[string]string{"tenant": "t"}, h.messages[0].Attributes)
		})
	}
}
