package cloud

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gocloud.dev/pubsub"

	"github.com/sluice-go/sluice/handler"
)

// The fields that gocloud's message lacks are metadata, under names that begin with
// reserved. A user's attribute with such a name is prefixed with escaped.
const (
	reserved      = "sluice-cloud-"
	escaped       = reserved + "x-"
	metaID        = reserved + "id"
	metaGroup     = reserved + "group"
	metaDedupe    = reserved + "dedupe-id"
	metaEnqueued  = reserved + "enqueued-at"
	metaAttempt   = reserved + "attempt"
	metaNotBefore = reserved + "not-before"
	metaDelay     = reserved + "delay" // how long before not-before it was sent
)

var (
	errName = errors.New("an attribute has an empty name")
	errUTF8 = errors.New("an attribute is not valid UTF-8")
)

// wrap returns gocloud's form of m, sent at the given time under the given ID.
func wrap(m *handler.Message, id string, at time.Time) (*pubsub.Message, error) {
	meta := make(map[string]string, len(m.Attributes)+4)
	for name, value := range m.Attributes {
		if name == "" {
			return nil, errName
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errUTF8
		}
		if strings.HasPrefix(name, reserved) {
			name = escaped + name
		}
		meta[name] = value
	}
	meta[metaID] = id
	meta[metaEnqueued] = at.UTC().Format(time.RFC3339Nano)
	for name, value := range map[string]string{metaGroup: m.Group, metaDedupe: m.DedupeID} {
		if value == "" {
			continue
		}
		if !utf8.ValidString(value) {
			return nil, errors.New("the group or the dedupe ID is not valid UTF-8")
		}
		meta[name] = value
	}
	return &pubsub.Message{Body: bytes.Clone(m.Body), Metadata: meta}, nil
}

// newID returns an ID for a message: gocloud's providers assign none.
func newID() string { return rand.Text() }

// unwrap returns the message of gocloud's form that is received now, and its
// not-before, before which it must not be handled. The not-before is by the monotonic
// clock, so steps of the wall clock do not move it. The message shares nothing with
// pm: gocloud's in-memory provider returns the same body each time. Values that
// can't be parsed are ignored.
func unwrap(pm *pubsub.Message, now time.Time) (m *handler.Message, notBefore time.Time) {
	m = &handler.Message{ID: pm.LoggableID, Body: bytes.Clone(pm.Body)}
	for name, value := range pm.Metadata {
		own, ours := strings.CutPrefix(name, escaped)
		switch {
		case ours:
			m.SetAttribute(own, value)
		case name == metaID && value != "":
			m.ID = value
		case name == metaGroup:
			m.Group = value
		case name == metaDedupe:
			m.DedupeID = value
		case name == metaEnqueued:
			m.EnqueuedAt = parseTime(value)
		case name == metaNotBefore:
			notBefore = parseTime(value)
		case name == metaAttempt:
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				m.Attempt = n
			}
		case strings.HasPrefix(name, reserved):
			// It belongs to a later version.
		default:
			m.SetAttribute(name, value)
		}
	}
	if notBefore.IsZero() {
		return m, notBefore
	}
	// A clock that is behind the sender's must not lengthen the delay.
	left := notBefore.Sub(now.Round(0))
	if asked, err := time.ParseDuration(pm.Metadata[metaDelay]); err == nil && asked >= 0 {
		left = min(left, asked)
	}
	return m, now.Add(left)
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// again returns the message that replaces a delivery: the same, with another attempt
// number and not-before. A zero notBefore means none; otherwise it is by the monotonic
// clock, like now.
func again(pm *pubsub.Message, m *handler.Message, attempt int, notBefore, now time.Time) *pubsub.Message {
	meta := make(map[string]string, len(pm.Metadata)+3)
	for name, value := range pm.Metadata {
		meta[name] = value
	}
	meta[metaID] = m.ID // of a foreign sender's message too, so that it stays the same
	meta[metaAttempt] = strconv.Itoa(attempt)
	delete(meta, metaNotBefore)
	delete(meta, metaDelay)
	if left := notBefore.Sub(now); !notBefore.IsZero() && left > 0 {
		meta[metaNotBefore] = now.Round(0).Add(left).UTC().Format(time.RFC3339Nano) // by the wall clock as it is now
		meta[metaDelay] = left.String()
	}
	return &pubsub.Message{Body: pm.Body, Metadata: meta}
}
