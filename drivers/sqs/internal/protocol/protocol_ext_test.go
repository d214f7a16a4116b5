package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/schemas"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/internal/protocol"
)

// An operation is one that the package encodes and decodes itself.
type operation struct {
	schema *smithy.OperationSchema
	output func() smithy.Deserializable
}

var operations = []operation{
	{smithy.NewOperationSchema(schemas.ReceiveMessage, schemas.ReceiveMessageRequest, schemas.ReceiveMessageResult),
		func() smithy.Deserializable { return &awssqs.ReceiveMessageOutput{} }},
	{smithy.NewOperationSchema(schemas.SendMessageBatch, schemas.SendMessageBatchRequest, schemas.SendMessageBatchResult),
		func() smithy.Deserializable { return &awssqs.SendMessageBatchOutput{} }},
	{smithy.NewOperationSchema(schemas.DeleteMessageBatch, schemas.DeleteMessageBatchRequest, schemas.DeleteMessageBatchResult),
		func() smithy.Deserializable { return &awssqs.DeleteMessageBatchOutput{} }},
	{smithy.NewOperationSchema(schemas.ChangeMessageVisibilityBatch, schemas.ChangeMessageVisibilityBatchRequest, schemas.ChangeMessageVisibilityBatchResult),
		func() smithy.Deserializable { return &awssqs.ChangeMessageVisibilityBatchOutput{} }},
}

// protocols returns the SDK's protocol and the package's.
func protocols(t testing.TB) (theirs, ours smithyhttp.ClientProtocol) {
	o := awssqs.New(awssqs.Options{}).Options()
	theirs = o.Protocol
	protocol.Use(&o)
	require.IsType(t, protocol.Protocol{}, o.Protocol)
	return theirs, o.Protocol
}

// decode decodes body as the response of an operation. The body must be closed with
// it, and be the response's still.
func decode(t testing.TB, p smithyhttp.ClientProtocol, op operation, status int, body io.Reader) (any, error) {
	out := op.output()
	closer := io.NopCloser(body)
	resp := &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}, Body: closer}}
	err := p.DeserializeResponse(t.Context(), op.schema, awssqs.TypeRegistry, resp, out)
	require.Equal(t, closer, resp.Body)
	return out, err
}

// sameDecoded fails the test unless both protocols decode body alike.
func sameDecoded(t testing.TB, op operation, status int, body string) {
	theirs, ours := protocols(t)
	want, wantErr := decode(t, theirs, op, status, strings.NewReader(body))
	got, err := decode(t, ours, op, status, strings.NewReader(body))
	require.Equal(t, wantErr, err, "%s: %s", op.schema.ID().Name, body)
	require.Equal(t, want, got, "%s: %s", op.schema.ID().Name, body)
}

var responses = []string{
	``, ` `, `{}`, ` { } `, `{`, `[]`, `null`, `{}x`, `{},`, `{"Messages"}`, `{"Messages":}`,
	`{"Messages":[]}`, `{"Messages":null}`, `{"Messages":[null]}`, `{"Messages":[{}]}`, `{"Messages":[{},{}]}`, `{"Messages":[{},]}`,
	`{"Messages":[{}],"Messages":[]}`, `{"Messages":{}}`, `{"Messages":[[]]}`, `{"New":[1,{"a":null}],"Messages":[{}]}`, `{"Messages":[],}`,
	`{"Messages":[{"Body":"a","Body":"b"}]}`, `{"Messages":[{"Body":1}]}`, `{"Messages":[{"Body":true}]}`, `{"Messages":[{"Body":null}]}`,
	`{"Messages":[{"New":"field","Body":"a"}]}`, `{"Messages":[{"B\u006fdy":"a"}]}`, "{\"Messages\":[{\"Body\":\"a\nb\"}]}",
	"{\n\t\"Messages\" : [ {\r\n \"Body\" : \"spaced\" } ] }\n",
	`{"Messages":[{"Body":"a\"\\\/\b\f\n\r\tz\u0000\u00e9\u20ac\ud83d\ude00"}]}`, `{"Messages":[{"Body":"\ud83d"}]}`, `{"Messages":[{"Body":"\ud83d\u0041"}]}`,
	`{"Messages":[{"Body":"\ud83d\n"}]}`, `{"Messages":[{"Body":"\udE00\uD83d"}]}`, `{"Messages":[{"Body":"\x"}]}`, `{"Messages":[{"Body":"\u12"}]}`,
	`{"Messages":[{"Body":"\u12x4"}]}`, `{"Messages":[{"Body":"\`, `{"Messages":[{"Body":"a`, "{\"Messages\":[{\"Body\":\"\xff\"}]}", "{\"Messages\":[{\"Body\":\"\xff\\n\xc3\"}]}",
	`{"Messages":[{"Body":"` + strings.Repeat("long ", 1000) + `"},{"Body":"` + strings.Repeat(`\n\"`, 1000) + `"}]}`,
	`{"Messages":[{"Attributes":{}}]}`, `{"Messages":[{"Attributes":null}]}`, `{"Messages":[{"Attributes":{"a":null}}]}`, `{"Messages":[{"Attributes":{"a":"1","a":"2"}}]}`,
	`{"Messages":[{"Attributes":{"SentTimestamp":"1700000000000","ApproximateReceiveCount":"7","MessageGroupId":"g","MessageDeduplicationId":"d",` +
		`"SequenceNumber":"18","AWSTraceHeader":"Root=1","DeadLetterQueueSourceArn":"arn:x","SenderId":"","é":"\u00e9"}}]}`,
	`{"Messages":[{"Attributes":{"a":"1"},"Attributes":{"b":"2"}}]}`, `{"Messages":[{"Attributes":{"a\n":"1"}}]}`,
	`{"Messages":[{"MessageAttributes":{}}]}`, `{"Messages":[{"MessageAttributes":{"a":{}}}]}`, `{"Messages":[{"MessageAttributes":{"a":null}}]}`,
	`{"Messages":[{"MessageAttributes":{"a":{"DataType":"String","StringValue":"x"},"b":{"DataType":"Binary","BinaryValue":"AAEC/w=="},` +
		`"c":{"DataType":"Number.int","StringValue":"0"}},"MessageId":"m","ReceiptHandle":"r","MD5OfBody":"5","MD5OfMessageAttributes":"6"}]}`,
	`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":""}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"!"}}}]}`,
	`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":null}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"AA==","BinaryValue":"AQ=="}}}]}`,
	`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"AA\u003d="}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"DataType":"String","StringListValues":["x"],"BinaryListValues":["AA=="]}}}]}`,
	`{"Messages":[{"MessageAttributes":{"a":{"DataType":"String"}},"MessageAttributes":{"b":{}}}]}`,
	`{"Successful":[{"Id":"0"},{"Id":"1"}],"Failed":[]}`, `{"Successful":[],"Failed":[{"Id":"0","Code":"c","SenderFault":true,"Message":"m"}]}`, `{"Failed":[{}]}`,
	`{"Successful":[{"Id":"0"}],"Successful":[]}`, `{"Failed":[],"Failed":[]}`, `{"Failed":null,"Successful":null}`, `{"Successful":[{"Id":"0","New":{}}],"New":1}`,
	`{"Successful":[{"Id":"ten","MessageId":"m","MD5OfMessageBody":"1","MD5OfMessageAttributes":"2","MD5OfMessageSystemAttributes":"3","SequenceNumber":"4"}]}`,
	`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`,
	`{"Messages":[` + strings.Repeat(`{"Body":"b","MessageId":"some-id"},`, 30) + `{}]}`,
}

func TestDecodesAsTheSDK(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		for _, body := range responses {
			for _, status := range []int{200, 299, 400, 503} {
				sameDecoded(t, op, status, body)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for n, body := range responses {
		f.Add(n, body)
	}
	f.Fuzz(func(t *testing.T, n int, body string) {
		sameDecoded(t, operations[uint(n)%uint(len(operations))], 200, body)
	})
}

// TestReadError reads a body whose connection breaks.
func TestReadError(t *testing.T) {
	t.Parallel()
	theirs, ours := protocols(t)
	broken := errors.New("connection reset")
	for _, sent := range []string{"", "{}", `{"Messages":[`} {
		for _, op := range operations {
			body := func() io.Reader { return io.MultiReader(strings.NewReader(sent), iotest.ErrReader(broken)) }
			_, wantErr := decode(t, theirs, op, 200, body())
			_, err := decode(t, ours, op, 200, body())
			require.ErrorIs(t, err, broken)
			require.Equal(t, wantErr, err)
		}
	}
}

// TestStringsOutliveTheResponse decodes responses one after the other: they share
// buffers, but no strings.
func TestStringsOutliveTheResponse(t *testing.T) {
	t.Parallel()
	_, ours := protocols(t)
	bodyOf := func(c string) string {
		one := `{"Body":"` + strings.Repeat(c, 200) + `\n","MessageId":"` + strings.Repeat(c, 30) + `","MessageAttributes":{"` + c + c + `":{"DataType":"String","StringValue":"` + c + c + `"}}},`
		return `{"Messages":[` + strings.Repeat(one, 9) + one[:len(one)-1] + `]}`
	}
	var outs []any
	for c := 'a'; c <= 'z'; c++ {
		out, err := decode(t, ours, operations[0], 200, strings.NewReader(bodyOf(string(c))))
		require.NoError(t, err)
		outs = append(outs, out)
	}
	for i, out := range outs {
		c := string(rune('a' + i))
		got := out.(*awssqs.ReceiveMessageOutput).Messages
		require.Len(t, got, 10)
		for _, m := range got {
			require.Equal(t, strings.Repeat(c, 200)+"\n", *m.Body)
			require.Equal(t, strings.Repeat(c, 30), *m.MessageId)
			require.Equal(t, c+c, *m.MessageAttributes[c+c].StringValue)
		}
	}
}

// request encodes an input.
func request(t testing.TB, p smithyhttp.ClientProtocol, op *smithy.OperationSchema, in smithy.Serializable) (*smithyhttp.Request, []byte) {
	req := smithyhttp.NewStackRequest().(*smithyhttp.Request)
	require.NoError(t, p.SerializeRequest(t.Context(), op, in, req))
	body, err := io.ReadAll(req.GetStream())
	require.NoError(t, err)
	require.True(t, req.IsStreamSeekable(), "a request that is tried again reads its body again")
	require.NoError(t, req.RewindStream())
	again, err := io.ReadAll(req.GetStream())
	require.NoError(t, err)
	require.Equal(t, body, again)
	return req, body
}

// sameEncoded fails the test unless both protocols encode in to the same JSON values
// and the same header.
func sameEncoded(t testing.TB, op *smithy.OperationSchema, in smithy.Serializable) {
	theirs, ours := protocols(t)
	want, wantBody := request(t, theirs, op, in)
	got, body := request(t, ours, op, in)
	require.Equal(t, want.Header, got.Header)
	require.Equal(t, want.Method, got.Method)
	require.Equal(t, want.URL, got.URL)
	require.EqualValues(t, len(body), got.ContentLength)
	var wantValue, value any
	require.NoError(t, json.Unmarshal(wantBody, &wantValue))
	require.NoError(t, json.Unmarshal(body, &value), "%s", body)
	require.Equal(t, wantValue, value, "%s", body)
	require.False(t, bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' }))
}

var strange = "a\"\\/\b\f\n\r\t\x00\x1f\x7f<>&é€\u2028😀\xff\xc3(\xed\xa0\x80"

// TestEncodesAsTheSDK encodes inputs of all operations, with each field filled.
func TestEncodesAsTheSDK(t *testing.T) {
	t.Parallel()
	inputs := []struct {
		op *smithy.OperationSchema
		in smithy.Serializable
	}{
		{operations[0].schema, &awssqs.ReceiveMessageInput{}},
		{operations[1].schema, &awssqs.SendMessageBatchInput{}},
		{operations[2].schema, &awssqs.DeleteMessageBatchInput{}},
		{operations[3].schema, &awssqs.ChangeMessageVisibilityBatchInput{}},
		{smithy.NewOperationSchema(schemas.CreateQueue, schemas.CreateQueueRequest, schemas.CreateQueueResult), &awssqs.CreateQueueInput{}},
		{smithy.NewOperationSchema(schemas.PurgeQueue, schemas.PurgeQueueRequest, nil), &awssqs.PurgeQueueInput{}},
	}
	for _, c := range inputs {
		sameEncoded(t, c.op, c.in)
		for _, text := range []string{"", "plain", strange, strings.Repeat(strange, 1000)} {
			for n := range 3 {
				fill(reflect.ValueOf(c.in).Elem(), text, n)
				sameEncoded(t, c.op, c.in)
			}
		}
	}
}

// fill sets all exported fields, with n items in each list and map.
func fill(v reflect.Value, text string, n int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, n)
	case reflect.String:
		v.SetString(text)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(n * 1000))
	case reflect.Uint8:
		v.SetUint(uint64(n * 100))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), text, n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range n {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(item, text, n)
			v.SetMapIndex(reflect.ValueOf(strings.Repeat("k", i)+text).Convert(v.Type().Key()), item)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), text, n)
			}
		}
	default:
		panic("fill: " + v.Type().String())
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("id", "body", "name", []byte{0, 255}, int32(5))
	f.Add("", strange, strange, []byte(nil), int32(-1))
	f.Fuzz(func(t *testing.T, id, body, name string, value []byte, delay int32) {
		sameEncoded(t, operations[1].schema, &awssqs.SendMessageBatchInput{QueueUrl: &name, Entries: []types.SendMessageBatchRequestEntry{
			{Id: &id, MessageBody: &body, DelaySeconds: delay, MessageAttributes: map[string]types.MessageAttributeValue{
				name: {DataType: &id, StringValue: &body}, name + "2": {DataType: &id, BinaryValue: value},
			}},
			{Id: &name, MessageBody: &name, MessageGroupId: &id, MessageDeduplicationId: &body},
		}})
	})
}

// TestFields fails if an update of the SDK adds a field to an output. The decoder then
// leaves responses with the field to the SDK, until it learns it.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   any
		want []string
	}{
		{awssqs.ReceiveMessageOutput{}, []string{"Messages", "ResultMetadata"}},
		{awssqs.SendMessageBatchOutput{}, []string{"Failed", "ResultMetadata", "Successful"}},
		{awssqs.DeleteMessageBatchOutput{}, []string{"Failed", "ResultMetadata", "Successful"}},
		{awssqs.ChangeMessageVisibilityBatchOutput{}, []string{"Failed", "ResultMetadata", "Successful"}},
		{types.Message{}, []string{"Attributes", "Body", "MD5OfBody", "MD5OfMessageAttributes", "MessageAttributes", "MessageId", "ReceiptHandle"}},
		{types.MessageAttributeValue{}, []string{"BinaryListValues", "BinaryValue", "DataType", "StringListValues", "StringValue"}},
		{types.SendMessageBatchResultEntry{}, []string{"Id", "MD5OfMessageAttributes", "MD5OfMessageBody", "MD5OfMessageSystemAttributes", "MessageId", "SequenceNumber"}},
		{types.DeleteMessageBatchResultEntry{}, []string{"Id"}},
		{types.ChangeMessageVisibilityBatchResultEntry{}, []string{"Id"}},
	} {
		var got []string
		for f := range reflect.TypeOf(c.of).Fields() {
			if f.IsExported() {
				got = append(got, f.Name)
			}
		}
		slices.Sort(got)
		require.Equal(t, c.want, got, "%T: teach the decoder, then this test", c.of)
	}
}

// TestUse leaves other protocols alone.
func TestUse(t *testing.T) {
	t.Parallel()
	other := awsjson.New11(schemas.AmazonSQS)
	o := awssqs.Options{Protocol: other}
	protocol.Use(&o)
	require.Same(t, other, o.Protocol)
	o.Protocol = protocol.Protocol{}
	protocol.Use(&o)
	require.Equal(t, protocol.Protocol{}, o.Protocol)
	o.Protocol = nil
	protocol.Use(&o)
	require.Nil(t, o.Protocol)
}

// TestDecodesItself fails if the SDK decodes what SQS and its emulators send.
func TestDecodesItself(t *testing.T) {
	theirs, ours := protocols(t)
	bodies := []string{
		receiveBody(), sendBody(),
		`{"Successful":[{"Id":"0"},{"Id":"1"},{"Id":"2"},{"Id":"3"}],"Failed":[]}`, `{"Successful":[{"Id":"0"},{"Id":"1"},{"Id":"2"},{"Id":"3"}]}`,
	}
	for i, op := range operations {
		allocs := func(p smithyhttp.ClientProtocol) float64 {
			return testing.AllocsPerRun(100, func() {
				_, err := decode(t, p, op, 200, strings.NewReader(bodies[i]))
				require.NoError(t, err)
			})
		}
		require.Less(t, allocs(ours), allocs(theirs), op.schema.ID().Name)
	}
}
