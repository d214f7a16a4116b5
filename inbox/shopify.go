package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
)

type shopifyProvider struct{ keys keys }

var _ Provider = (*shopifyProvider)(nil)

// NewShopify returns the [Provider] of Shopify
// (https://shopify.dev/docs/apps/build/webhooks). A secret is the app's client secret.
// Shopify signs the body only; see the package documentation. The identity has the topic
// before the event's ID, because one event of a shop can have webhooks of several topics.
func NewShopify(secrets ...string) (Provider, error) {
	ks, err := newKeys("Shopify", secrets)
	if err != nil {
		return nil, err
	}
	return &shopifyProvider{keys: ks}, nil
}

// Read implements [Provider].
func (s *shopifyProvider) Read(_ context.Context, header http.Header, body []byte) (*Event, error) {
	value, err := only(header, "X-Shopify-Hmac-Sha256")
	if err != nil {
		return nil, err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || len(signature) != sha256.Size {
		return nil, fmt.Errorf("%w: it is not the base64 of %d bytes", ErrSignature, sha256.Size)
	}
	if !s.keys.signed([][]byte{signature}, body) {
		return nil, fmt.Errorf("%w: it does not match", ErrSignature)
	}
	id, err := only(header, "X-Shopify-Event-Id")
	if err != nil {
		return nil, err
	}
	topic, err := only(header, "X-Shopify-Topic")
	if err != nil {
		return nil, err
	}
	return &Event{ID: topic + ":" + id, Type: topic}, nil
}
