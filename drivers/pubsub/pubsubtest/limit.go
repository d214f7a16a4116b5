package pubsubtest

import (
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The service's limits of a publish request, from its page of quotas.
const (
	maxPublishBytes    = 10_000_000
	maxPublishMessages = 1000
	maxAttributes      = 100
	maxKeyBytes        = 256
	maxValueBytes      = 1024
)

// checkPublish refuses what the service refuses.
func checkPublish(r *pubsubpb.PublishRequest) error {
	bad := func(format string, args ...any) error { return status.Errorf(codes.InvalidArgument, format, args...) }
	if len(r.Messages) == 0 || len(r.Messages) > maxPublishMessages {
		return bad("a request has from 1 to %d messages, not %d", maxPublishMessages, len(r.Messages))
	}
	if n := proto.Size(r); n > maxPublishBytes {
		return bad("the request has %d bytes and may have %d", n, maxPublishBytes)
	}
	for _, m := range r.Messages {
		if m.OrderingKey != r.Messages[0].OrderingKey {
			return status.Error(codes.FailedPrecondition,
				"in a single publish request all messages must have no ordering key, or the same")
		}
		if len(m.OrderingKey) > maxValueBytes {
			return bad("the ordering key has %d bytes and may have %d", len(m.OrderingKey), maxValueBytes)
		}
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return bad("a message needs data or an attribute")
		}
		if len(m.Attributes) > maxAttributes {
			return bad("a message has %d attributes and may have %d", len(m.Attributes), maxAttributes)
		}
		for k, v := range m.Attributes {
			switch {
			case k == "":
				return bad("an attribute has no name")
			case strings.HasPrefix(strings.ToLower(k), "goog") && !strings.HasPrefix(k, "googclient_"):
				return bad("attribute names must not start with goog: %q", k)
			case len(k) > maxKeyBytes || len(v) > maxValueBytes:
				return bad("attribute %q is too large: a name has at most %d bytes and a value %d", k, maxKeyBytes, maxValueBytes)
			}
		}
	}
	return nil
}
