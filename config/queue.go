package config

import (
	"fmt"
	"maps"
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
	// Configured is false where the queue is known by its URL only. Spec then
	// says nothing.
	Configured bool
	// Spec is what the queue is wanted to be.
	Spec provision.Spec
}

// URL is the queue's URL where one is asked for and it does not matter which:
// the one for receiving, if there is one.
func (q *Queue) URL() string {
	if q.Source != "" {
		return q.Source
	}
	return q.Sink
}

// fields are a queue's keys as koanf fills them in.
type fields struct {
	URL               string            `koanf:"url"`
	Source            string            `koanf:"source"`
	Sink              string            `koanf:"sink"`
	VisibilityTimeout time.Duration     `koanf:"visibility_timeout"`
	Retention         time.Duration     `koanf:"retention"`
	FIFO              bool              `koanf:"fifo"`
	ExactlyOnce       bool              `koanf:"exactly_once"`
	RetainAcked       bool              `koanf:"retain_acked"`
	KMSKey            string            `koanf:"kms_key"`
	Tags              map[string]string `koanf:"tags"`
	DeadLetter        *struct {
		Name        string        `koanf:"name"`
		MaxAttempts int           `koanf:"max_attempts"`
		Retention   time.Duration `koanf:"retention"`
	} `koanf:"dead_letter"`
	Retry *struct {
		Min time.Duration `koanf:"min"`
		Max time.Duration `koanf:"max"`
	} `koanf:"retry"`
	Alarms *struct {
		DeadLetters int           `koanf:"dead_letters"`
		OldestAge   time.Duration `koanf:"oldest_age"`
		Notify      string        `koanf:"notify"`
	} `koanf:"alarms"`
}

func (f *fields) queue(name string) Queue {
	q := Queue{Name: name, Source: f.Source, Sink: f.Sink, Configured: true, Spec: provision.Spec{
		Name: name, VisibilityTimeout: f.VisibilityTimeout, Retention: f.Retention,
		FIFO: f.FIFO, ExactlyOnce: f.ExactlyOnce, RetainAcked: f.RetainAcked,
		KMSKey: f.KMSKey, Tags: maps.Clone(f.Tags),
	}}
	if q.Source == "" {
		q.Source = f.URL
	}
	if q.Sink == "" {
		q.Sink = f.URL
	}
	if d := f.DeadLetter; d != nil {
		q.Spec.DeadLetter = &provision.DeadLetter{Name: d.Name, MaxAttempts: d.MaxAttempts, Retention: d.Retention}
	}
	if r := f.Retry; r != nil {
		q.Spec.Retry = &provision.Retry{Min: r.Min, Max: r.Max}
	}
	if a := f.Alarms; a != nil {
		q.Spec.Alarms = &provision.Alarms{DeadLetters: a.DeadLetters, OldestAge: a.OldestAge, Notify: a.Notify}
	}
	return q
}

// check reports what is wrong with a queue beyond single values.
func (m *merger) check(name string, f *fields) {
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
	if f.URL == "" && f.Source == "" && f.Sink == "" {
		fault("", "the queue has no URL", "set url, or source and sink")
	}
	for _, u := range []struct{ key, value string }{{"url", f.URL}, {"source", f.Source}, {"sink", f.Sink}} {
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
	if r := f.Retry; r != nil && r.Min > r.Max {
		fault("retry.min", fmt.Sprintf("%s is more than retry.max, which is %s", FormatDuration(r.Min), FormatDuration(r.Max)), "")
	}
	if r := f.Retry; r != nil && r.Min == 0 {
		fault("retry.min", "0 would retry without a pause", "give at least 1ms")
	}
	if d := f.DeadLetter; d != nil && d.Retention > 0 && f.Retention > d.Retention {
		fault("dead_letter.retention", fmt.Sprintf("%s is less than the queue's own retention, %s: letters would expire early",
			FormatDuration(d.Retention), FormatDuration(f.Retention)), "make it longer")
	}
}

// schemePattern is what a URL begins with, by RFC 3986. A queue's name cannot
// have a colon in it.
var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// IsURL tells a queue's URL from a queue's name.
func IsURL(s string) bool { return schemePattern.MatchString(s) }
