package thumbnail

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-go/sluice/codec/envelope"
	"github.com/sluice-go/sluice/handler"
)

// An Object is what an event says was created.
type Object struct {
	Bucket, Key string
	// Size is the object's size in bytes, or -1 if the event does not give it.
	Size int64
}

// ParseEvent returns the objects that a message says were created. The message
// is an S3 event notification, which has them in its body, or a Cloud Storage
// notification, which has a part in its attributes. An event that is of another
// kind is an error that handler.Drop has marked, anything else one that
// handler.Reject has.
func ParseEvent(m *handler.Message) ([]Object, error) {
	events, err := envelope.ParseObjects(m, envelope.ObjectCreated)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, len(events))
	for i, e := range events {
		objects[i] = Object{Bucket: e.Bucket, Key: e.Key, Size: e.Size}
	}
	return objects, nil
}

// S3Event returns the message that S3 would send about a new object.
func S3Event(o Object) (*handler.Message, error) {
	type object struct {
		Key  string `json:"key"`
		Size int64  `json:"size"`
	}
	type bucket struct {
		Name string `json:"name"`
	}
	type record struct {
		EventVersion string `json:"eventVersion"`
		EventSource  string `json:"eventSource"`
		EventName    string `json:"eventName"`
		S3           struct {
			Bucket bucket `json:"bucket"`
			Object object `json:"object"`
		} `json:"s3"`
	}
	r := record{EventVersion: "2.1", EventSource: "aws:s3", EventName: "ObjectCreated:Put"}
	r.S3.Bucket.Name = o.Bucket
	// S3 leaves slashes as they are.
	r.S3.Object = object{Key: strings.ReplaceAll(url.QueryEscape(o.Key), "%2F", "/"), Size: o.Size}
	body, err := json.Marshal(map[string][]record{"Records": {r}})
	if err != nil {
		return nil, err
	}
	return &handler.Message{Body: body}, nil
}

// StorageEvent returns the message that Cloud Storage would send about a new
// object.
func StorageEvent(o Object) (*handler.Message, error) {
	body, err := json.Marshal(map[string]string{
		"kind": "storage#object", "bucket": o.Bucket, "name": o.Key, "size": fmt.Sprint(o.Size),
	})
	if err != nil {
		return nil, err
	}
	return &handler.Message{Body: body, Attributes: map[string]string{
		"eventType": "OBJECT_FINALIZE", "payloadFormat": "JSON_API_V1", "bucketId": o.Bucket, "objectId": o.Key,
	}}, nil
}
