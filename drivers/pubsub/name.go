package pubsub

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-go/sluice/drivers"
)

// scheme is the URL scheme of Pub/Sub queues.
const scheme = "gcppubsub"

// The kinds of resources, as they are in a name.
const (
	kindSubscription = "subscriptions"
	kindTopic        = "topics"
)

// deletedTopic is the service's name for a topic that was deleted.
const deletedTopic = "_deleted-topic_"

// A name is the full name of a topic or a subscription.
type name struct{ project, kind, id string }

func (n name) String() string { return "projects/" + n.project + "/" + n.kind + "/" + n.id }

func (n name) zero() bool { return n == name{} }

// parseName parses a full name, "projects/P/KIND/ID".
func parseName(s string) (name, error) {
	p := strings.Split(s, "/")
	if len(p) != 4 || p[0] != "projects" || p[1] == "" || p[3] == "" || (p[2] != kindSubscription && p[2] != kindTopic) {
		return name{}, fmt.Errorf("%q is not the name of a topic or a subscription", s)
	}
	return name{project: p[1], kind: p[2], id: p[3]}, nil
}

// parseNameIn parses a full name of the given kind, or an ID in the project.
func parseNameIn(project, kind, s string) (name, error) {
	if !strings.Contains(s, "/") {
		s = "projects/" + project + "/" + kind + "/" + s
	}
	n, err := parseName(s)
	if err == nil && n.kind != kind {
		err = fmt.Errorf("%q is of the kind %s, and %s is needed", s, n.kind, kind)
	}
	return n, err
}

// parseURL returns the name in a queue URL. "projects" is the URL's host.
func parseURL(u *url.URL) (name, error) {
	n, err := parseName(u.Host + u.Path)
	switch {
	case u.User != nil:
		err = errors.New("a Pub/Sub URL has no user and no password: the client library finds the credentials")
	case u.Fragment != "":
		err = errors.New("a Pub/Sub URL has no fragment")
	case err != nil:
		err = errors.New("malformed Pub/Sub URL")
	}
	if err == nil {
		return n, nil
	}
	return name{}, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: err,
		Remedy: "a source is " + scheme + "://projects/PROJECT/subscriptions/ID, a sink " + scheme + "://projects/PROJECT/topics/ID"}
}
