package thumbnail_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/examples/thumbnails/thumbnail"
	"github.com/sluice-go/sluice/handler"
)

// A notification as S3 sends it.
const s3Notification = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2",
"eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},
"requestParameters":{"sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810"},
"s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule","bucket":{"name":"amzn-s3-demo-bucket",
"ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::amzn-s3-demo-bucket"},
"object":{"key":"summer+2024/a%2Bb+%28100%25%29.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e",
"versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}`

// The body of a Cloud Storage notification.
const storageResource = `{"kind":"storage#object","id":"photos/a b+c%20.jpg/1","selfLink":"https://www.googleapis.com/storage/v1/b/photos/o/x",
"name":"a b+c%20.jpg","bucket":"photos","generation":"1","metageneration":"1","contentType":"image/jpeg","size":"2048","md5Hash":"x==","etag":"CN=="}`

func storage(kind, object, body string) *handler.Message {
	return &handler.Message{Body: []byte(body), Attributes: map[string]string{
		"notificationConfig": "projects/_/buckets/photos/notificationConfigs/1", "eventType": kind,
		"payloadFormat": "JSON_API_V1", "bucketId": "photos", "objectId": object, "objectGeneration": "1",
	}}
}

func TestParseEvent(t *testing.T) {
	nonePayload := storage("OBJECT_FINALIZE", "x", "")
	nonePayload.Attributes["payloadFormat"] = "NONE"
	noName := storage("OBJECT_FINALIZE", "", "")

	for _, c := range []struct {
		name    string
		m       *handler.Message
		objects []thumbnail.Object
		action  handler.Action
		says    string
	}{
		{name: "S3", m: &handler.Message{Body: []byte(s3Notification)},
			objects: []thumbnail.Object{{Bucket: "amzn-s3-demo-bucket", Key: "summer 2024/a+b (100%).jpg", Size: 1024}}, action: handler.ActionAck},
		{name: "S3, several records, not all of a creation", m: &handler.Message{Body: []byte(`{"Records":[
			{"eventSource":"aws:s3","eventName":"ObjectCreated:CompleteMultipartUpload","s3":{"bucket":{"name":"b"},"object":{"key":"a"}}},
			{"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b"},"object":{"key":"gone"}}},
			{"eventSource":"aws:s3","eventName":"s3:ObjectCreated:Copy","s3":{"bucket":{"name":"b"},"object":{"key":"c","size":0}}}]}`)},
			objects: []thumbnail.Object{{Bucket: "b", Key: "a", Size: -1}, {Bucket: "b", Key: "c", Size: 0}}, action: handler.ActionAck},
		{name: "Cloud Storage", m: storage("OBJECT_FINALIZE", "a b+c%20.jpg", storageResource),
			objects: []thumbnail.Object{{Bucket: "photos", Key: "a b+c%20.jpg", Size: 2048}}, action: handler.ActionAck},
		{name: "Cloud Storage without payload", m: nonePayload,
			objects: []thumbnail.Object{{Bucket: "photos", Key: "x", Size: -1}}, action: handler.ActionAck},

		{name: "S3 test event", m: &handler.Message{Body: []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`)},
			action: handler.ActionDrop, says: "s3:TestEvent"},
		{name: "S3 removal", m: &handler.Message{Body: []byte(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectRemoved:Delete"}]}`)},
			action: handler.ActionDrop, says: "not an object-created event: ObjectRemoved:Delete"},
		{name: "Cloud Storage deletion", m: storage("OBJECT_DELETE", "x", storageResource), action: handler.ActionDrop, says: "OBJECT_DELETE"},

		{name: "no JSON", m: &handler.Message{Body: []byte("hello")}, action: handler.ActionDeadLetter, says: "event: invalid character"},
		{name: "empty", m: &handler.Message{}, action: handler.ActionDeadLetter, says: "event: unexpected end"},
		{name: "another document", m: &handler.Message{Body: []byte(`{"order":7}`)}, action: handler.ActionDeadLetter, says: "no Records"},
		{name: "another source", m: &handler.Message{Body: []byte(`{"Records":[{"eventSource":"aws:sns","eventName":"ObjectCreated:Put"}]}`)},
			action: handler.ActionDeadLetter, says: `record 0 is from "aws:sns"`},
		{name: "a key that is not encoded", m: &handler.Message{Body: []byte(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"100%"}}}]}`)},
			action: handler.ActionDeadLetter, says: "not URL-encoded"},
		{name: "no key", m: &handler.Message{Body: []byte(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"}}}]}`)},
			action: handler.ActionDeadLetter, says: "has no bucket or no key"},
		{name: "no object", m: noName, action: handler.ActionDeadLetter, says: "bucketId or objectId"},
		{name: "attributes and body that differ", m: storage("OBJECT_FINALIZE", "other.jpg", storageResource),
			action: handler.ActionDeadLetter, says: "the attributes name the object photos/other.jpg, but the body names photos/a b+c%20.jpg"},
		{name: "a broken resource", m: storage("OBJECT_FINALIZE", "x", "{"), action: handler.ActionDeadLetter, says: "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, err := thumbnail.ParseEvent(c.m)
			require.Equal(t, c.objects, objects)
			require.Equal(t, c.action, handler.VerdictOf(err).Action)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}

func TestOwnEventsAreRead(t *testing.T) {
	for _, key := range []string{"a.jpg", "dir/sub dir/a+b (100%).jpg", "été?&=#.png", "日本.gif", `quote"\.png`} {
		o := thumbnail.Object{Bucket: "b", Key: key, Size: 12}
		m, err := thumbnail.S3Event(o)
		require.NoError(t, err)
		got, err := thumbnail.ParseEvent(m)
		require.NoError(t, err)
		require.Equal(t, []thumbnail.Object{o}, got)

		m, err = thumbnail.StorageEvent(o)
		require.NoError(t, err)
		got, err = thumbnail.ParseEvent(m)
		require.NoError(t, err)
		require.Equal(t, []thumbnail.Object{o}, got)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(s3Notification), "", "", "")
	f.Add([]byte(storageResource), "OBJECT_FINALIZE", "photos", "a b+c%20.jpg")
	f.Add([]byte("{}"), "OBJECT_DELETE", "", "")
	f.Fuzz(func(t *testing.T, body []byte, kind, bucket, object string) {
		m := &handler.Message{Body: body, Attributes: map[string]string{"eventType": kind, "bucketId": bucket, "objectId": object}}
		objects, err := thumbnail.ParseEvent(m)
		switch handler.VerdictOf(err).Action {
		case handler.ActionAck:
			require.NotEmpty(t, objects)
			for _, o := range objects {
				require.NotEmpty(t, o.Bucket)
				require.NotEmpty(t, o.Key)
			}
		case handler.ActionDeadLetter, handler.ActionDrop:
			require.Empty(t, objects)
		case handler.ActionRetry:
			t.Fatalf("an event that cannot be read is not worth another attempt: %v", err)
		}
	})
}
