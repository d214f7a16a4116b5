package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// s3Document is S3's event message structure, and enough of EventBridge's to
// recognize it:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
type s3Document struct {
	// Event is set in the message that S3 sends when notifications are
	// configured: s3:TestEvent.
	Event   string
	Records []s3Record
	Source  string `json:"source"`
}

type s3Record struct {
	EventSource string    `json:"eventSource"`
	EventName   string    `json:"eventName"`
	EventTime   time.Time `json:"eventTime"`
	S3          struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object s3Object `json:"object"`
	} `json:"s3"`
}

type s3Object struct {
	Key     string `json:"key"`
	Size    *int64 `json:"size"`
	ETag    string `json:"eTag"`
	Version string `json:"versionId"`
}

func parseS3(m *handler.Message, kinds []ObjectKind) ([]ObjectEvent, error) {
	var d s3Document
	if err := json.Unmarshal(m.Body, &d); err != nil {
		return nil, err
	}
	switch {
	case d.Event == "s3:TestEvent":
		return nil, &otherKind{kinds, d.Event}
	case len(d.Records) == 0 && d.Source == "aws.s3":
		return parseS3Bridge(m, kinds)
	case len(d.Records) == 0:
		return nil, errors.New("neither an S3 event (no Records) nor a Cloud Storage notification (no attribute eventType)")
	}
	var events []ObjectEvent
	for i, r := range d.Records {
		if r.EventSource != "aws:s3" {
			return nil, fmt.Errorf("record %d is from %q, not from aws:s3", i, r.EventSource)
		}
		// Without "s3:" in the events themselves; with it in configurations.
		name := strings.TrimPrefix(r.EventName, "s3:")
		kind := ObjectOther
		switch group, _, _ := strings.Cut(name, ":"); group {
		case "ObjectCreated":
			kind = ObjectCreated
		case "ObjectRemoved", "LifecycleExpiration":
			kind = ObjectDeleted
		case "ObjectTagging", "ObjectAcl":
			kind = ObjectUpdated
		}
		if !wants(kinds, kind) {
			continue
		}
		// Keys are encoded as in a form: a space is "+", a plus sign "%2B".
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("record %d: the key is not URL-encoded: %w", i, err)
		}
		if r.S3.Bucket.Name == "" || key == "" {
			return nil, fmt.Errorf("record %d has no bucket or no key", i)
		}
		events = append(events, r.S3.Object.event(kind, name, r.S3.Bucket.Name, key, r.EventTime))
	}
	if len(events) == 0 {
		return nil, &otherKind{kinds, d.Records[0].EventName}
	}
	return events, nil
}

func (o *s3Object) event(kind ObjectKind, name, bucket, key string, at time.Time) ObjectEvent {
	e := ObjectEvent{Provider: "s3", Kind: kind, Name: name, Bucket: bucket, Key: key, Size: -1, ETag: o.ETag, Version: o.Version, Time: at}
	if o.Size != nil {
		e.Size = *o.Size
	}
	return e
}

// parseS3Bridge parses S3's event in EventBridge's envelope:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func parseS3Bridge(m *handler.Message, kinds []ObjectKind) ([]ObjectEvent, error) {
	e, err := ParseEventBridge[struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key     string `json:"key"`
			Size    *int64 `json:"size"`
			ETag    string `json:"etag"`
			Version string `json:"version-id"`
		} `json:"object"`
	}](m)
	if err != nil {
		return nil, err
	}
	kind := ObjectOther
	switch e.DetailType {
	case "Object Created":
		kind = ObjectCreated
	case "Object Deleted":
		kind = ObjectDeleted
	case "Object Tags Added", "Object Tags Deleted", "Object ACL Updated", "Object Storage Class Changed":
		kind = ObjectUpdated
	}
	if !wants(kinds, kind) {
		return nil, &otherKind{kinds, e.DetailType}
	}
	// EventBridge does not encode the key.
	o := e.Detail.Object
	if e.Detail.Bucket.Name == "" || o.Key == "" {
		return nil, errors.New("the event has no bucket or no key")
	}
	s := s3Object{Size: o.Size, ETag: o.ETag, Version: o.Version}
	return []ObjectEvent{s.event(kind, e.DetailType, e.Detail.Bucket.Name, o.Key, e.Time)}, nil
}
