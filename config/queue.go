package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers/provision"
)

// A Queue is one queue of the configuration, or one that is known by its URL
// only.
type Queue struct {
	// Name is the name in the configuration; of a queue known by its URL only,
	// the URL without secrets.
	Name string
	// Source and Sink are the URLs for receiving and for sending. One of them
	// can be empty.
	Source, Sink string
	// Configured is false if the queue is known by its URL only. Spec then
	// says nothing.
	Configured bool
	// Spec describes the queue as it is wanted.
	Spec provision.Spec
}

// URL is the queue's URL if one is asked for and it does not matter which:
// the one for receiving, if there is one.
func (q *Queue) URL() string {
	if q.Source != "" {
		return q.Source
	}
	return q.Sink
}

// bind fills in a queue from the values below path.
func (m *merger) bind(q *binding, s *node, path string) {
	for _, c := range s.children {
		at := path + separator + c.key
		if !m.values.Exists(at) {
			continue
		}
		place := c.bind(q)
		if c.kind == section {
			m.bind(q, c, at)
			continue
		}
		if !assign(place, m.values.Get(at)) {
			m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: "the value is not " + c.what()})
		}
	}
}

// assign sets *place to v, if v is of its kind.
func assign(place, v any) bool {
	switch place := place.(type) {
	case *string:
		return set(place, v)
	case *bool:
		return set(place, v)
	case *int:
		return set(place, v)
	case *time.Duration:
		return set(place, v)
	case *map[string]string:
		table, ok := v.(map[string]any)
		*place = make(map[string]string, len(table))
		for k, text := range table {
			(*place)[k] = fmt.Sprint(text)
		}
		return ok
	default:
		return false
	}
}

func set[T any](place *T, v any) bool {
	value, ok := v.(T)
	*place = value
	return ok
}

// check reports what is wrong with a queue beyond single values.
func (m *merger) check(name string, q *binding) {
	spec := &q.Spec
	path := "queues" + separator + name
	fault := func(key, problem, remedy string) {
		at := path
		if key != "" {
			at += separator + strings.ReplaceAll(key, ".", separator)
		}
		o, ok := m.origins[at]
		if !ok {
			o = m.origins[path]
		}
		m.faults = append(m.faults, &Fault{Origin: o, Path: display(at), Problem: problem, Remedy: remedy})
	}
	if q.url == "" && q.Source == "" && q.Sink == "" {
		fault("", "the queue has no URL", "set url, or source and sink")
	}
	for _, u := range []struct{ key, value string }{{"url", q.url}, {"source", q.Source}, {"sink", q.Sink}} {
		if u.value != "" && !IsURL(u.value) {
			if strings.HasPrefix(u.value, "projects/") { // Pub/Sub's own name
				fault(u.key, fmt.Sprintf("%q is no queue URL: it has no scheme", u.value), "write gcppubsub://"+u.value)
				continue
			}
			fault(u.key, fmt.Sprintf("%q is no queue URL: it has no scheme", u.value), "such as awssqs:///"+name+"?region=us-east-1 or sqlite://jobs.db?queue="+name)
		} else if _, err := url.Parse(u.value); err != nil {
			fault(u.key, "the queue URL is malformed", "")
		}
	}
	if r := spec.Retry; r != nil && r.Min > r.Max {
		fault("retry.min", fmt.Sprintf("%s is more than retry.max, which is %s", FormatDuration(r.Min), FormatDuration(r.Max)), "")
	}
	if r := spec.Retry; r != nil && r.Min == 0 {
		fault("retry.min", "0 would retry without a pause", "give at least 1ms")
	}
	if d := spec.DeadLetter; d != nil && d.Retention > 0 && spec.Retention > d.Retention {
		fault("dead_letter.retention", fmt.Sprintf("%s is less than the queue's own retention, %s: letters would expire early",
			FormatDuration(d.Retention), FormatDuration(spec.Retention)), "make it longer")
	}
}

// schemePattern is what a URL begins with, by RFC 3986. A queue's name cannot
// have a colon in it.
var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// IsURL reports whether s is a queue's URL and not a queue's name.
func IsURL(s string) bool { return schemePattern.MatchString(s) }
