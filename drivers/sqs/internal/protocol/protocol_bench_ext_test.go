package protocol_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/internal/protocol"
)

// canned is an HTTP client that answers each request with the same body.
type canned string

func (c canned) Do(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(c))), ContentLength: int64(len(c)), Request: r}, nil
}

// entriesOf returns ten entries or messages, the n-th of which is format with n for
// each verb.
func entriesOf(format string) string {
	all := make([]string, 10)
	for n := range all {
		all[n] = strings.ReplaceAll(format, "%d", strconv.Itoa(n))
	}
	return "[" + strings.Join(all, ",") + "]"
}

const handle = "a1b2c3d4-0000-4000-8000-00000000000%d"

func receiveBody() string {
	return `{"Messages":` + entriesOf(`{"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1732900000000"},"Body":"`+strings.Repeat("x", 256)+
		`","MD5OfBody":"098f6bcd4621d373cade4e832627b4f6","MessageId":"`+handle+`","ReceiptHandle":"`+handle+"#"+handle+`"}`) + "}"
}

func sendBody() string {
	return `{"Successful":` + entriesOf(`{"Id":"%d","MD5OfMessageBody":"81109eec5aa1a284fb5327b10e9c16b9","MD5OfMessageAttributes":"098f6bcd4621d373cade4e832627b4f6","MessageId":"`+handle+`"}`) + "}"
}

// BenchmarkCall measures whole calls of ten messages with the SDK's protocol and with
// this one, without a network.
func BenchmarkCall(b *testing.B) {
	url := "http://127.0.0.1:9324/000000000000/bench"
	sends, deletes := make([]types.SendMessageBatchRequestEntry, 10), make([]types.DeleteMessageBatchRequestEntry, 10)
	for i := range sends {
		sends[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(strings.Repeat("x", 256)),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"sluice-dedupe-id": {DataType: aws.String("String"), StringValue: aws.String("0193dd1c-7e35-7a7f-8e8f-5d9f0a3b2c1d")},
			}}
		deletes[i] = types.DeleteMessageBatchRequestEntry{Id: sends[i].Id, ReceiptHandle: aws.String(fmt.Sprintf(handle+"#"+handle, i, i))}
	}
	for _, c := range []struct {
		name, body string
		call       func(*awssqs.Client) error
	}{
		{"receive", receiveBody(), func(api *awssqs.Client) error {
			_, err := api.ReceiveMessage(b.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
				MessageAttributeNames:       []string{"All"},
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp"}})
			return err
		}},
		{"send", sendBody(), func(api *awssqs.Client) error {
			_, err := api.SendMessageBatch(b.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: sends})
			return err
		}},
		{"delete", `{"Successful":` + entriesOf(`{"Id":"%d"}`) + "}", func(api *awssqs.Client) error {
			_, err := api.DeleteMessageBatch(b.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: deletes})
			return err
		}},
	} {
		for _, o := range []struct {
			name   string
			option func(*awssqs.Options)
		}{{"sdk", func(*awssqs.Options) {}}, {"sluice", protocol.Use}} {
			b.Run(c.name+"/"+o.name, func(b *testing.B) {
				api := awssqs.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &url, HTTPClient: canned(c.body),
					Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("test", "test", ""))},
					func(o *awssqs.Options) { o.DisableMessageChecksumValidation = true }, o.option)
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, c.call(api))
				}
			})
		}
	}
}

// BenchmarkDecode measures the decoding of a response to a receive alone.
func BenchmarkDecode(b *testing.B) {
	theirs, ours := protocols(b)
	body := []byte(receiveBody())
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := decode(b, theirs, operations[0], 200, bytes.NewReader(body))
			require.NoError(b, err)
		}
	})
	b.Run("sluice", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := decode(b, ours, operations[0], 200, bytes.NewReader(body))
			require.NoError(b, err)
		}
	})
}
