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

// ObjectKind is what happened to an object.
type ObjectKind string

// The kinds.
const (
	// ObjectCreated: there is a new object, or a new content of one.
	ObjectCreated ObjectKind = "created"
	// ObjectDeleted: the object is gone, or hidden by a delete marker.
	ObjectDeleted ObjectKind = "deleted"
	// ObjectArchived: a version of the object is no longer the current one.
	ObjectArchived ObjectKind = "archived"
	// ObjectUpdated: the object's metadata changed.
	ObjectUpdated ObjectKind = "updated"
	// ObjectOther is everything else; ObjectEvent.Name says what.
	ObjectOther ObjectKind = "other"
)

// The providers of an [ObjectEvent].
const (
	ProviderS3           = "s3"
	ProviderCloudStorage = "gcs"
)

// An ObjectEvent is what S3 or Cloud Storage tells of one object.
type ObjectEvent struct {
	// Provider is [ProviderS3] or [ProviderCloudStorage].
	Provider string
	Kind     ObjectKind
	// Name is the provider's name of the kind, such as "ObjectCreated:Put" or
	// "OBJECT_FINALIZE".
	Name string
	// Bucket and Key name the object, with nothing encoded.
	Bucket, Key string
	// Size is the object's size in bytes, -1 where the event does not tell.
	Size int64
	// ETag is the content's; empty where the event does not tell.
	ETag string
	// Version tells contents of one key apart: S3's versionId, Cloud Storage's
	// generation. Empty where the bucket has none.
	Version string
	// Time is when it happened; zero where the event does not tell.
	Time time.Time
}

// ErrOtherKind is in the error of a sound event of a kind that is not wanted.
var ErrOtherKind = errors.New("not an event of a kind that is wanted")

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

// ParseObjects returns what a message says of objects: an S3 event notification
// or an EventBridge event of S3 in its body, or a Cloud Storage notification,
// which is known by its attribute eventType. A notification that came through
// SNS is unwrapped before, by [SNS].
//
// Events of kinds that are not listed are left out unread; none listed means
// all. Where nothing is left, and for S3's test event, the error is an
// [ErrOtherKind] marked by handler.Drop; every other error is marked by
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

// parseStorage reads a Cloud Storage notification. Its body is the object's
// resource, or nothing where the notification was configured without payload.
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
	// Attributes are as they are; nothing in them is encoded.
	e := ObjectEvent{
		Provider: ProviderCloudStorage, Kind: kind, Name: name, Size: -1,
		Bucket: m.Attribute("bucketId"), Key: m.Attribute("objectId"), Version: m.Attribute("objectGeneration"),
	}
	if e.Bucket == "" || e.Key == "" {
		return nil, errors.New("the attributes bucketId and objectId are not both there")
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
		return nil, fmt.Errorf("the attributes name %s/%s and the body %s/%s", e.Bucket, e.Key, resource.Bucket, resource.Name)
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
