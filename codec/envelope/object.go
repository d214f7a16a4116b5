package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// An ObjectKind is a kind of change to an object.
type ObjectKind string

// The kinds.
const (
	// ObjectCreated: an object, or new content of one, was created.
	ObjectCreated ObjectKind = "created"
	// ObjectDeleted: the object was deleted, or hidden by a delete marker.
	ObjectDeleted ObjectKind = "deleted"
	// ObjectArchived: a version of the object is no longer the current one.
	ObjectArchived ObjectKind = "archived"
	// ObjectUpdated: the object's metadata changed.
	ObjectUpdated ObjectKind = "updated"
	// ObjectOther is any other event, which ObjectEvent.Name names.
	ObjectOther ObjectKind = "other"
)

// An ObjectEvent is an event of S3 or Cloud Storage about one object.
type ObjectEvent struct {
	// Provider is "s3" or "gcs" (Cloud Storage).
	Provider string
	Kind     ObjectKind
	// Name is the provider's name of the kind, such as "ObjectCreated:Put" or
	// "OBJECT_FINALIZE".
	Name string
	// Bucket and Key name the object, without any encoding.
	Bucket, Key string
	// Size is the object's size in bytes, or -1 if the event does not have it.
	Size int64
	// ETag is the content's; empty if the event does not have it.
	ETag string
	// Version distinguishes contents of one key: S3's versionId or Cloud Storage's
	// generation. Empty if the bucket has no versions.
	Version string
	// Time is the time of the change; zero if the event does not have it.
	Time time.Time
}

// ErrOtherKind is the error of a valid event of a kind that was not asked for.
var ErrOtherKind = errors.New("the event is not of a requested kind")

type otherKind struct {
	wanted []ObjectKind
	name   string
}

func (e *otherKind) Error() string {
	var names []string
	for _, k := range e.wanted {
		names = append(names, string(k))
	}
	return fmt.Sprintf("not an object-%s event: %s", strings.Join(names, "/"), e.name)
}

func (e *otherKind) Is(target error) bool { return target == ErrOtherKind }

// ParseObjects returns the events in a message: an S3 event notification or an
// EventBridge event of S3 in its body, or a Cloud Storage notification, which is
// recognized by its attribute eventType. Unwrap a notification that came through SNS
// with [SNS] first.
//
// Events of kinds that are not listed are omitted and not validated; an empty list
// means all kinds. If no event remains, and for S3's test event, the error is an
// [ErrOtherKind] marked with handler.Drop. Any other error is marked with
// handler.Reject.
func ParseObjects(m *handler.Message, kinds ...ObjectKind) ([]ObjectEvent, error) {
	var (
		events []ObjectEvent
		err    error
	)
	if m.Attribute("eventType") != "" {
		events, err = parseStorage(m, kinds)
	} else {
		events, err = parseS3(m, kinds)
	}
	switch {
	case errors.Is(err, ErrOtherKind):
		return nil, handler.Drop(err)
	case err != nil:
		return nil, handler.Reject(fmt.Errorf("event: %w", err))
	}
	return events, nil
}

func wants(kinds []ObjectKind, k ObjectKind) bool {
	return len(kinds) == 0 || slices.Contains(kinds, k)
}

// parseStorage parses a Cloud Storage notification. Its body is the object's resource,
// or empty if the notification was configured without payload.
func parseStorage(m *handler.Message, kinds []ObjectKind) ([]ObjectEvent, error) {
	// https://cloud.google.com/storage/docs/pubsub-notifications
	name := m.Attribute("eventType")
	kind := ObjectOther
	switch name {
	case "OBJECT_FINALIZE":
		kind = ObjectCreated
	case "OBJECT_DELETE":
		kind = ObjectDeleted
	case "OBJECT_ARCHIVE":
		kind = ObjectArchived
	case "OBJECT_METADATA_UPDATE":
		kind = ObjectUpdated
	}
	if !wants(kinds, kind) {
		return nil, &otherKind{kinds, name}
	}
	// Nothing in the attributes is encoded.
	e := ObjectEvent{
		Provider: "gcs", Kind: kind, Name: name, Size: -1,
		Bucket: m.Attribute("bucketId"), Key: m.Attribute("objectId"), Version: m.Attribute("objectGeneration"),
	}
	if e.Bucket == "" || e.Key == "" {
		return nil, errors.New("the attribute bucketId or objectId is missing")
	}
	if text := m.Attribute("eventTime"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, fmt.Errorf("the attribute eventTime: %w", err)
		}
		e.Time = at
	}
	if len(m.Body) == 0 || m.Attribute("payloadFormat") == "NONE" {
		return []ObjectEvent{e}, nil
	}
	var resource struct {
		Bucket     string `json:"bucket"`
		Name       string `json:"name"`
		ETag       string `json:"etag"`
		Generation string `json:"generation"`
		Size       *int64 `json:"size,string"` // 64-bit numbers are strings in this API
	}
	if err := json.Unmarshal(m.Body, &resource); err != nil {
		return nil, err
	}
	if resource.Bucket != e.Bucket || resource.Name != e.Key {
		return nil, fmt.Errorf("the attributes name the object %s/%s, but the body names %s/%s", e.Bucket, e.Key, resource.Bucket, resource.Name)
	}
	if resource.Size != nil {
		e.Size = *resource.Size
	}
	e.ETag = resource.ETag
	if e.Version == "" {
		e.Version = resource.Generation
	}
	return []ObjectEvent{e}, nil
}
