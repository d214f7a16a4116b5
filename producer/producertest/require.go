package producertest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-go/sluice/handler"
)

// A Sent is a message that was sent, and the value in it.
type Sent[T any] struct {
	Value   T
	Message *handler.Message
}

// RequireSent fails the test unless one message of T was sent, and returns it.
func RequireSent[T any](t testing.TB, s *Sink) Sent[T] {
	t.Helper()
	return RequireManySent[T](t, s, 1)[0]
}

// RequireManySent fails the test unless n messages of T were sent, and returns them in
// their order. It also fails the test if one of them can't be decoded.
func RequireManySent[T any](t testing.TB, s *Sink, n int) []Sent[T] {
	t.Helper()
	found, err := find[T](s)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != n {
		t.Fatalf("%d messages of %v were sent, and %d were expected; all that was sent: %s", len(found), reflect.TypeFor[T](), n, list(s))
	}
	return found
}

// RequireNothingSent fails the test if any message was sent.
func RequireNothingSent(t testing.TB, s *Sink) {
	t.Helper()
	if sent := s.Sent(); len(sent) > 0 {
		t.Fatalf("%d messages were sent, and none were expected: %s", len(sent), list(s))
	}
}

// RequireNoneSent fails the test if a message of T was sent.
func RequireNoneSent[T any](t testing.TB, s *Sink) {
	t.Helper()
	RequireManySent[T](t, s, 0)
}

// find returns the messages of T: of a type with a kind those of that kind, of any other
// type all.
func find[T any](s *Sink) ([]Sent[T], error) {
	codec := s.Codec
	if codec == nil {
		codec = handler.JSON
	}
	kind, kinds := kindOf[T]()
	var found []Sent[T]
	for _, m := range s.Sent() {
		if kinds && m.Attribute("type") != kind {
			continue
		}
		sent := Sent[T]{Message: m}
		if err := codec.Decode(m, &sent.Value); err != nil {
			return nil, fmt.Errorf("message %s is not a %v: %w", m.ID, reflect.TypeFor[T](), err)
		}
		found = append(found, sent)
	}
	return found, nil
}

// kindOf returns the kind of T, and false if T has no method Kind.
func kindOf[T any]() (string, bool) {
	t := reflect.TypeFor[T]()
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
	}
	j, ok := v.Interface().(interface{ Kind() string })
	if !ok {
		return "", false
	}
	return j.Kind(), true
}

// list names the messages, without their bodies.
func list(s *Sink) string {
	var names []string
	for _, m := range s.Sent() {
		names = append(names, fmt.Sprintf("%s (type %q, %d bytes)", m.ID, m.Attribute("type"), len(m.Body)))
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
