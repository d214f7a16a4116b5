package pubsub

import "strings"

// Suggest returns the queue URL to write in place of a resource name of
// Pub/Sub, such as projects/P/subscriptions/S, also with the service's host
// before it. It is empty if s is none.
func (*Opener) Suggest(s string) string {
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
