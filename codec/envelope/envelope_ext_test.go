package envelope_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
)

const topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return b
}

func TestSNSUnwraps(t *testing.T) {
	sns, err := envelope.SNS(topic)
	require.NoError(t, err)
	m := &handler.Message{ID: "7", Body: sample(t, "sns-sqs.json"), Attributes: map[string]string{"AWSTraceHeader": "Root=1"}}
	before := bytes.Clone(m.Body)
	called := false
	h := sns(handler.HandlerFunc(func(_ context.Context, got *handler.Message) error {
		called = true
		require.Equal(t, "Hello world!", string(got.Body))
		require.Equal(t, "7", got.ID)
		require.Equal(t, map[string]string{
			"AWSTraceHeader": "Root=1", "count": "12", "name": "value", "bytes": "AP8=",
			"sns-message-id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "sns-topic-arn": topic,
			"sns-subject": "My First Message", "sns-timestamp": "2012-05-02T00:54:06.655Z",
		}, got.Attributes)
		return nil
	}))
	require.NoError(t, h.Handle(t.Context(), m))
	require.True(t, called)
	require.Equal(t, before, m.Body)
	require.Len(t, m.Attributes, 1)
}

func TestSNSRefusesWhatIsNotDeclared(t *testing.T) {
	sound := string(sample(t, "sns-sqs.json"))
	sns, err := envelope.SNS(topic)
	require.NoError(t, err)
	never := handler.HandlerFunc(func(context.Context, *handler.Message) error {
		t.Error("the handler was called")
		return nil
	})
	for _, c := range []struct{ name, body, says string }{
		{"raw", `{"order":7}`, `its Type is ""`},
		{"text", "hello", "envelope.SNSRaw"},
		{"empty", "", "not a notification"},
		{"another topic", strings.Replace(sound, ":MyTopic\"", ":Other\"", 1), "not declared"},
		{"another account", strings.Replace(sound, "123456789012:MyTopic\"", "666666666666:MyTopic\"", 1), "not declared"},
		{"a confirmation", strings.Replace(sound, `"Notification"`, `"SubscriptionConfirmation"`, 1), "SubscriptionConfirmation"},
		{"no message", strings.Replace(sound, `"Message" :`, `"Massage" :`, 1), "no Message"},
		{"no id", strings.Replace(sound, `"MessageId"`, `"Id"`, 1), "no MessageId"},
		{"binary that is none", strings.Replace(sound, "AP8=", "!", 1), "not base64"},
		{"a type that is none", strings.Replace(sound, `"Number"`, `"Float"`, 1), `type "Float"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := sns(never).Handle(t.Context(), &handler.Message{ID: "7", Body: []byte(c.body)})
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
			require.ErrorContains(t, err, c.says)
		})
	}
	err = envelope.SNSRaw()(never).Handle(t.Context(), &handler.Message{Body: []byte(sound)})
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	_, err = envelope.SNS()
	require.ErrorContains(t, err, "no topic is declared")
	_, err = envelope.SNS("MyTopic")
	require.ErrorContains(t, err, "not the ARN")
}

// A publisher cannot forge what the topic says.
func TestSNSFieldsWinOverThePublishersAttributes(t *testing.T) {
	sns, err := envelope.SNS(topic)
	require.NoError(t, err)
	body := `{"Type":"Notification","MessageId":"1","TopicArn":"` + topic + `","Message":"x","MessageAttributes":{` +
		`"sns-topic-arn":{"Type":"String","Value":"forged"},"sns-subject":{"Type":"String","Value":"forged"},"sns-timestamp":{"Type":"String","Value":"forged"}}}`
	require.NoError(t, sns(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		require.Equal(t, map[string]string{"sns-topic-arn": topic, "sns-message-id": "1"}, m.Attributes)
		return nil
	})).Handle(t.Context(), &handler.Message{Body: []byte(body)}))
}

func TestParseObjects(t *testing.T) {
	storage := &handler.Message{Body: []byte(`{"kind":"storage#object","name":"a b","bucket":"photos","generation":"9","size":"2048","etag":"CN=="}`), Attributes: map[string]string{
		"eventType": "OBJECT_FINALIZE", "payloadFormat": "JSON_API_V1", "bucketId": "photos", "objectId": "a b", "objectGeneration": "9", "eventTime": "2026-01-02T03:04:05Z",
	}}
	for name, c := range map[string]struct {
		m    *handler.Message
		want envelope.ObjectEvent
	}{
		"S3": {&handler.Message{Body: sample(t, "s3.json")}, envelope.ObjectEvent{
			Provider: "s3", Kind: envelope.ObjectCreated, Name: "ObjectCreated:Put", Bucket: "amzn-s3-demo-bucket", Key: "Happy Face+.jpg", Size: 1024,
			ETag: "d41d8cd98f00b204e9800998ecf8427e", Version: "096fKKXTRTtl3on89fVO.nfljtsv6qko", Time: time.Unix(0, 0).UTC(),
		}},
		"EventBridge": {&handler.Message{Body: sample(t, "s3-eventbridge.json")}, envelope.ObjectEvent{
			Provider: "s3", Kind: envelope.ObjectCreated, Name: "Object Created", Bucket: "amzn-s3-demo-bucket1", Key: "example key+1", Size: 5,
			ETag: "b1946ac92492d2347c6235b4d2611184", Version: "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", Time: time.Date(2021, 11, 12, 0, 0, 0, 0, time.UTC),
		}},
		"Cloud Storage": {storage, envelope.ObjectEvent{
			Provider: "gcs", Kind: envelope.ObjectCreated, Name: "OBJECT_FINALIZE", Bucket: "photos", Key: "a b", Size: 2048,
			ETag: "CN==", Version: "9", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := envelope.ParseObjects(c.m)
			require.NoError(t, err)
			require.Equal(t, []envelope.ObjectEvent{c.want}, got)
			_, err = envelope.ParseObjects(c.m, envelope.ObjectDeleted)
			require.ErrorIs(t, err, envelope.ErrOtherKind)
			require.Equal(t, handler.ActionDrop, handler.VerdictOf(err).Action)
		})
	}
	_, err := envelope.ParseObjects(&handler.Message{Body: []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`)})
	require.ErrorIs(t, err, envelope.ErrOtherKind)
}

func TestParseEventBridge(t *testing.T) {
	e, err := envelope.ParseEventBridge[map[string]any](&handler.Message{Body: sample(t, "s3-eventbridge.json")})
	require.NoError(t, err)
	require.Equal(t, "aws.s3", e.Source)
	require.Equal(t, "PutObject", e.Detail["reason"])
	for _, body := range []string{"", "{}", `{"id":"1","source":"s","detail-type":"t"}`, `{"id":"1","source":"s","detail-type":"t","detail":7}`} {
		_, err := envelope.ParseEventBridge[map[string]any](&handler.Message{Body: []byte(body)})
		require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	}
}

func FuzzSNS(f *testing.F) {
	f.Add(sample(f, "sns-sqs.json"))
	sns, err := envelope.SNS(topic)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		called := false
		err := sns(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			called = true
			require.Equal(t, topic, m.Attribute("sns-topic-arn"))
			return nil
		})).Handle(t.Context(), &handler.Message{Body: body})
		require.Equal(t, called, err == nil)
		if err != nil {
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
		}
	})
}

func FuzzParseObjects(f *testing.F) {
	f.Add(sample(f, "s3.json"), "", "")
	f.Add(sample(f, "s3-eventbridge.json"), "", "")
	f.Add([]byte(`{"name":"k","bucket":"b"}`), "OBJECT_FINALIZE", "k")
	f.Fuzz(func(t *testing.T, body []byte, kind, key string) {
		es, err := envelope.ParseObjects(&handler.Message{Body: body, Attributes: map[string]string{"eventType": kind, "bucketId": "b", "objectId": key}})
		if err != nil {
			require.NotEqual(t, handler.ActionRetry, handler.VerdictOf(err).Action)
			return
		}
		require.NotEmpty(t, es)
		for _, e := range es {
			require.NotEmpty(t, e.Bucket)
			require.NotEmpty(t, e.Key)
		}
	})
}

func FuzzEventBridge(f *testing.F) {
	f.Add(sample(f, "s3-eventbridge.json"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := envelope.ParseEventBridge[map[string]any](&handler.Message{Body: body})
		if err == nil {
			require.NotEmpty(t, e.ID)
			require.NotNil(t, e.Detail)
		}
	})
}

func BenchmarkSNS(b *testing.B) {
	sns, err := envelope.SNS(topic)
	require.NoError(b, err)
	h := sns(handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }))
	m := &handler.Message{Body: sample(b, "sns-sqs.json")}
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
