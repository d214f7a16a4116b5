package pubsubpush

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// The headers of a push without an envelope whose subscription writes metadata
// (PushConfig.NoWrapper.write_metadata). The service writes no header for the attempt:
// one that reads so is an attribute of the publisher, who must not choose the attempt.
const (
	headerPrefix       = "x-goog-pubsub-"
	headerSubscription = headerPrefix + "subscription-name"
	headerID           = headerPrefix + "message-id"
	headerPublishTime  = headerPrefix + "publish-time"
	headerOrderingKey  = headerPrefix + "ordering-key"
)

// transport lists the headers that belong to the request and are not attributes:
// HTTP's own, and those that Google's front ends and other proxies add.
var transport = []string{
	"accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control", "connection",
	"content-encoding", "content-length", "cookie", "date", "expect", "forwarded", "from", "host", "keep-alive",
	"origin", "pragma", "proxy-authorization", "proxy-connection", "referer", "te", "trailer", "transfer-encoding",
	"upgrade", "user-agent", "via", "x-cloud-trace-context", "x-real-ip", "x-request-id", "x-serverless-authorization",
}

// transportPrefixes are the prefixes of more such headers.
var transportPrefixes = []string{"x-goog-", "x-appengine-", "x-forwarded-", "x-envoy-", "x-google-", "sec-"}

// readUnwrapped parses a push without an envelope. Headers lose their case in transit,
// so attributes have lower-case names.
func readUnwrapped(h http.Header, body []byte) (pushed, error) {
	for _, name := range []string{headerSubscription, headerID, headerPublishTime, headerOrderingKey} {
		if n := len(h.Values(name)); n > 1 {
			return pushed{}, fmt.Errorf("the header %s occurs %d times: which one the service set is unknown", name, n)
		}
	}
	pm := &pubsubpb.PubsubMessage{Data: body, MessageId: h.Get(headerID), OrderingKey: h.Get(headerOrderingKey)}
	var err error
	if pm.PublishTime, err = publishTime(h.Get(headerPublishTime)); err != nil {
		return pushed{}, err
	}
	pm.Attributes = attributes(h, func(name string) (string, bool) {
		return name, !isTransport(name)
	})
	return pushed{received: &pubsubpb.ReceivedMessage{Message: pm}, subscription: h.Get(headerSubscription)}, nil
}

// isTransport reports whether a header, given in lower case, belongs to the request.
// Underscores count as hyphens, as some proxies and servers treat them.
func isTransport(name string) bool {
	name = strings.Trim(strings.ReplaceAll(name, "_", "-"), "-")
	return slices.Contains(transport, name) ||
		slices.ContainsFunc(transportPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// attributes returns the attributes of the headers for which named, called with the
// lower-case name, returns a name and true. Several headers of one name are a list in
// HTTP.
func attributes(h http.Header, named func(header string) (string, bool)) map[string]string {
	attrs := make(map[string]string, len(h))
	for header, values := range h {
		if name, ok := named(strings.ToLower(header)); ok {
			attrs[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
		}
	}
	return attrs
}
