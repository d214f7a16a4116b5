package thumbnail

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-go/sluice/handler"
)

// An Object is what an event says was created.
type Object struct {
	Bucket, Key string
	// Size is the object's size in bytes, or -1 where the event does not tell.
	Size int64
}

// errOtherKind is in the error of an event that is sound, and not of a creation.
var errOtherKind = errors.New("not an object-created event")

// ParseEvent returns the objects that a message says were created. The message
// is an S3 event notification, which has them in its body, or a Cloud Storage
// notification, which has a part in its attributes. An event that is of another
// kind is an error that handler.Discard has marked, anything else one that
// handler.Reject has.
func ParseEvent(m *handler.Message) ([]Object, error) {
	var (
		objects []Object
		err     error
	)
	if m.Attribute("eventType") != "" {
		objects, err = parseStorage(m)
	} else {
		objects, err = parseS3(m.Body)
	}
	switch {
	case errors.Is(err, errOtherKind):
		return nil, handler.Discard(err)
	case err != nil:
		return nil, handler.Reject(fmt.Errorf("event: %w", err))
	}
	return objects, nil
}

// s3Event is the S3 event message structure, as far as it is needed.
type s3Event struct {
	// Event is set in the message that S3 sends when notifications are
	// configured: s3:TestEvent.
	Event   string
	Records []struct {
		EventSource string `json:"eventSource"`
		EventName   string `json:"eventName"`
		S3          struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key  string `json:"key"`
				Size *int64 `json:"size"`
			} `json:"object"`
		} `json:"s3"`
	}
}

func parseS3(body []byte) ([]Object, error) {
	var e s3Event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	if e.Event == "s3:TestEvent" {
		return nil, fmt.Errorf("%w: %s", errOtherKind, e.Event)
	}
	if len(e.Records) == 0 {
		return nil, errors.New("neither an S3 event (no Records) nor a Cloud Storage notification (no attribute eventType)")
	}
	var objects []Object
	for i, r := range e.Records {
		if r.EventSource != "aws:s3" {
			return nil, fmt.Errorf("record %d is from %q, not from aws:s3", i, r.EventSource)
		}
		// Without "s3:" in the events themselves; with it in configurations.
		if !strings.HasPrefix(strings.TrimPrefix(r.EventName, "s3:"), "ObjectCreated:") {
			continue
		}
		// Keys are encoded as in a form: a space is "+", a plus sign "%2B".
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("record %d: the key is not URL-encoded: %w", i, err)
		}
		if r.S3.Bucket.Name == "" || key == "" {
			return nil, fmt.Errorf("record %d names no bucket or no key", i)
		}
		o := Object{Bucket: r.S3.Bucket.Name, Key: key, Size: -1}
		if r.S3.Object.Size != nil {
			o.Size = *r.S3.Object.Size
		}
		objects = append(objects, o)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%w: %s", errOtherKind, e.Records[0].EventName)
	}
	return objects, nil
}

// parseStorage reads a Cloud Storage notification. Its body is the object's
// resource, or nothing where the notification was configured without payload.
func parseStorage(m *handler.Message) ([]Object, error) {
	if kind := m.Attribute("eventType"); kind != "OBJECT_FINALIZE" {
		return nil, fmt.Errorf("%w: %s", errOtherKind, kind)
	}
	// Attributes are as they are; nothing in them is encoded.
	o := Object{Bucket: m.Attribute("bucketId"), Key: m.Attribute("objectId"), Size: -1}
	if o.Bucket == "" || o.Key == "" {
		return nil, errors.New("the attributes bucketId and objectId are not both there")
	}
	if len(m.Body) == 0 || m.Attribute("payloadFormat") == "NONE" {
		return []Object{o}, nil
	}
	var resource struct {
		Bucket string `json:"bucket"`
		Name   string `json:"name"`
		Size   *int64 `json:"size,string"` // 64-bit numbers are strings in this API
	}
	if err := json.Unmarshal(m.Body, &resource); err != nil {
		return nil, err
	}
	if resource.Bucket != o.Bucket || resource.Name != o.Key {
		return nil, fmt.Errorf("the attributes name %s/%s and the body %s/%s", o.Bucket, o.Key, resource.Bucket, resource.Name)
	}
	if resource.Size != nil {
		o.Size = *resource.Size
	}
	return []Object{o}, nil
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
