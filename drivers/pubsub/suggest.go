package pubsub

import (
	"regexp"
	"strings"
)

// regional is the beginning of the address of one of Pub/Sub's regional hosts.
var regional = regexp.MustCompile(`^https://[a-z0-9-]+-pubsub\.googleapis\.com/`)

// Suggest returns the queue URL to write in place of a resource name of
// Pub/Sub, such as projects/P/subscriptions/S, also with the service's host
// before it. It is empty if s is none.
func (*Opener) Suggest(s string) string {
	s = regional.ReplaceAllString(s, "https://pubsub.googleapis.com/")
	for _, prefix := range []string{"https:", "//pubsub.googleapis.com/", "v1/", "/"} {
		s = strings.TrimPrefix(s, prefix)
	}
	parts := strings.Split(s, "/")
	if len(parts) != 4 || parts[0] != "projects" || parts[1] == "" || parts[3] == "" ||
		parts[2] != "subscriptions" && parts[2] != "topics" {
		return ""
	}
	return Scheme + "://" + s
}
