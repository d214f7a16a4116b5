package pubsub

import (
	"net/url"

	"github.com/sluice-go/sluice/drivers/provision"
)

// namesOf implements [Opener.Names].
func namesOf(u *url.URL, s *provision.Spec) (*provision.Names, error) {
	n, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	out := &provision.Names{System: system, Project: "projects/" + n.project}
	if n.kind == kindTopic {
		out.Topic = n.String()
		return out, nil
	}
	if s == nil {
		s = &provision.Spec{DeadLetter: &provision.DeadLetter{}}
	}
	w, err := wishFor(u, s)
	if err != nil {
		return nil, err
	}
	out.Queue, out.Topic = w.sub.String(), w.topic.String()
	if w.dead.zero() {
		return out, nil
	}
	if w.deadSub.zero() {
		w.deadSub = name{project: w.dead.project, kind: kindSubscription, id: w.dead.id}
	}
	out.DeadLetter, out.DeadLetterTopic = w.deadSub.String(), w.dead.String()
	return out, nil
}
