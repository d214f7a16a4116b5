package pubsubpush

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers/pubsub"
)

func check(t *testing.T, p pushed, err error) {
	if err != nil {
		return
	}
	m, ok := (&pubsub.PushSubscription{}).Read(p.received, p.subscription)
	if !ok {
		return
	}
	if m.Attempt < 0 {
		t.Fatal("an attempt below zero")
	}
	for k, v := range m.Attributes {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			t.Fatalf("attribute %q is not UTF-8", k)
		}
	}
}

func FuzzWrapped(f *testing.F) {
	f.Add([]byte(`{"message":{"data":"aGk=","messageId":"7","publishTime":"2026-02-26T19:13:55.749Z","attributes":{"a":"b"}},"subscription":"projects/p/subscriptions/s","deliveryAttempt":-1}`))
	f.Add([]byte(`{"message":{"messageId":"7","attributes":{"sluice-redrive-target":"x","sluice-dead-letter":"{}","k":null}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := readWrapped(body)
		check(t, p, err)
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("X-Goog-Pubsub-Message-Id", "7", "Ce-Type", "t", "Content-Type", "application/cloudevents+json", []byte(`{"id":"1","type":"t"}`))
	f.Add("Ce-Subject", "a%20%zz", "X-Goog-Pubsub-Delivery-Attempt", "-9", "X-Goog-Pubsub-Publish-Time", "x", []byte{0xff})
	f.Fuzz(func(t *testing.T, a, av, b, bv, c, cv string, body []byte) {
		h := http.Header{}
		h.Add(a, av)
		h.Add(b, bv)
		h.Add(c, cv)
		p, err := readUnwrapped(h, body)
		for k := range h { // a server takes only names that are tokens
			if !utf8.ValidString(k) {
				return
			}
		}
		check(t, p, err)
		p, err = readCloudEvent(h, body)
		check(t, p, err)
	})
}

func FuzzToken(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		j, id, err := parseToken(token)
		if err != nil {
			return
		}
		if alg := j.Headers[0].Algorithm; id == "" || alg != "RS256" && alg != "ES256" {
			t.Fatalf("a token of %q by key %q was taken", alg, id)
		}
	})
}
