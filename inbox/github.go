package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

type gitHubProvider struct{ keys keys }

var _ Provider = (*gitHubProvider)(nil)

// NewGitHub returns the [Provider] of GitHub
// (https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries). A
// secret is the webhook's. GitHub signs the body only; see the package documentation. A
// "ping", which GitHub sends to a new webhook, is a handshake.
func NewGitHub(secrets ...string) (Provider, error) {
	ks, err := newKeys("GitHub", secrets)
	if err != nil {
		return nil, err
	}
	return &gitHubProvider{keys: ks}, nil
}

// Read implements [Provider].
func (g *gitHubProvider) Read(_ context.Context, header http.Header, body []byte) (*Event, error) {
	value, err := only(header, "X-Hub-Signature-256")
	if err != nil {
		return nil, err
	}
	signature, err := parseHex(value, "sha256=")
	if err != nil {
		return nil, err
	}
	if !g.keys.signed([][]byte{signature}, body) {
		return nil, fmt.Errorf("%w: it does not match", ErrSignature)
	}
	id, err := only(header, "X-GitHub-Delivery")
	if err != nil {
		return nil, err
	}
	kind, err := only(header, "X-GitHub-Event")
	if err != nil {
		return nil, err
	}
	return &Event{ID: id, Type: kind, Handshake: kind == "ping"}, nil
}

// parseHex reads a signature of HMAC-SHA256 in hexadecimal digits after a prefix.
func parseHex(value, prefix string) ([]byte, error) {
	text, ok := strings.CutPrefix(value, prefix)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrSignature, prefix)
	}
	s, err := hex.DecodeString(text)
	if err != nil || len(s) != sha256.Size {
		return nil, fmt.Errorf("%w: it is not %d bytes in hexadecimal digits", ErrSignature, sha256.Size)
	}
	return s, nil
}
